"""Evaluation: every image once, whatever the batch; the same answer in numpy; and what does not fit is refused."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor
from train_making import run_module

from convert.errors import UserError
from convert.manifest import ClassEntry, load_manifest
from tinydarknet.device import Device
from tinydarknet.evaluate import EvaluateOptions, evaluate_checkpoint
from tinydarknet.evaluation.scoring import Score, classifier_for, evaluate
from tinydarknet.feed.opening import open_eval_feed
from tinydarknet.model import checkpoint
from tinydarknet.model.description import Description
from tinydarknet.model.network import TinyDarkNet
from tinydarknet.training.run_folder import RunFolder


def score(data: Path, file: Path, tmp_path: Path, **options) -> dict:
    out = tmp_path / "score.json"
    evaluate_checkpoint(
        EvaluateOptions(val_data_path=data, checkpoint_path=file, json=out, device_target="CPU", **options)
    )
    return json.loads(out.read_text())


def test_counts_are_exact_and_independent_of_the_batch(finished_run, planes_data, tmp_path, capsys):
    best = RunFolder(finished_run).best
    results = [score(planes_data, best, tmp_path, batch_size=size) for size in (27, 10)]
    counts = [tuple(result[name] for name in ("top1", "top5", "total")) for result in results]
    assert len(set(counts)) == 1
    assert counts[0][1:] == (27, 27)  # three classes: all are among the first five
    line = f"accuracy:  {{'top_1_accuracy': {counts[0][0] / 27}, 'top_5_accuracy': 1.0}}\n"
    assert capsys.readouterr().out.count(line) == 2


def test_against_logits_counted_by_hand(finished_run, planes_data, tmp_path):
    loaded = checkpoint.load(RunFolder(finished_run).best)
    model = loaded.description.model
    network = checkpoint.build_network(loaded)
    feed = open_eval_feed(
        planes_data, batch_size=27, image_size=32, rank=0, world_size=1, normalization=model.normalization
    )
    (batch,) = [{name: array.copy() for name, array in batch.items()} for batch in feed]
    planes = np.concatenate([batch["y"], batch["uv"].repeat(2, 2).repeat(2, 3)], axis=1).astype(np.float64)
    colour = batch["colour"].astype(np.float64)
    images = np.einsum("nij,njhw->nihw", colour[:, :, :3], planes) + colour[:, :, 3, None, None]
    logits = network(Tensor(images.astype(np.float32))).asnumpy()
    assert (
        score(planes_data, RunFolder(finished_run).best, tmp_path)["top1"] == (logits.argmax(1) == batch["label"]).sum()
    )


def test_originals_go_through_the_reference_feed(finished_run, original_data, tmp_path):
    result = score(original_data, RunFolder(finished_run).best, tmp_path, batch_size=10)
    assert result["total"] == 27


def test_a_lost_image_is_an_error(finished_run, planes_data):
    loaded = checkpoint.load(RunFolder(finished_run).best)
    feed = open_eval_feed(
        planes_data,
        batch_size=8,
        image_size=32,
        rank=0,
        world_size=1,
        normalization=loaded.description.model.normalization,
    )
    classifier = classifier_for(feed, checkpoint.build_network(loaded))
    with pytest.raises(UserError, match="evaluated 27 images, the dataset has 28"):
        evaluate(Device("CPU", 0, 1), classifier, feed, load_manifest(planes_data).rows + 1)


def test_other_classes_are_refused(finished_run, planes_data, tmp_path):
    loaded = checkpoint.load(RunFolder(finished_run).best)
    model = loaded.description.model
    other = (*model.classes[:2], ClassEntry("n02102040", "English springer"))
    for classes, sentence in (
        (other, r"class 2 is n02102040 in .* and n01484850 in the dataset"),
        ((*model.classes, other[2]), r"tells 4 classes apart, the dataset .* has 3"),
    ):
        path = tmp_path / f"{len(classes)}.ckpt"
        described = Description(dataclasses.replace(model, classes=classes))
        checkpoint.save(path, TinyDarkNet(len(classes)), described)
        with pytest.raises(UserError, match=sentence):
            score(planes_data, path, tmp_path)


def test_nan_weights_are_told(finished_run, planes_data, tmp_path):
    loaded = checkpoint.load(RunFolder(finished_run).best)
    network = checkpoint.build_network(loaded)
    network.conv16.conv.bias.set_data(Tensor(np.full(3, np.nan, np.float32)))
    checkpoint.save(tmp_path / "nan.ckpt", network, dataclasses.replace(loaded.description, run=None))
    with pytest.raises(UserError, match="cannot evaluate: logits must be finite"):
        score(planes_data, tmp_path / "nan.ckpt", tmp_path)


def test_wilson_interval():
    """Values from Wilson's formula, worked out for 8 of 10 and for 10 of 10."""
    low, high = Score(8, 10, 10, 0.0).interval(8)
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)
    assert Score(10, 10, 10, 0.0).interval(10) == pytest.approx((0.7225, 1.0), abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["tinydarknet.train"], 2, "data-path"),
        (["tinydarknet.train", "--data-path", "x", "--batch-size", "0"], 2, "batch_size must be at least 1, got 0"),
        (["tinydarknet.train", "--data-path", "x", "--learning-rate", "1"], 2, "learning-rate"),
        (["tinydarknet.train", "--config-path", "missing.yaml"], 2, "cannot read the options in missing.yaml"),
        (["tinydarknet.train", "--data-path", "missing"], 1, "no dataset at missing"),
        (["tinydarknet.evaluate", "--val-data-path", "missing", "--checkpoint-path", "x"], 1, "no dataset at missing"),
        (["tinydarknet.evaluate", "--val-data-path", "x"], 2, "checkpoint-path"),
        (["tinydarknet.export", "--checkpoint-path", "x", "--file-format", "tflite"], 2, "tflite"),
        (["tinydarknet.predict", "missing.jpg", "--checkpoint-path", "x.ckpt"], 1, "no image at missing.jpg"),
        (["tinydarknet.predict", "x.jpg", "--checkpoint-path", "x", "--top", "0"], 2, "top"),
        (["tinydarknet.darknet_weights", "missing.weights", "out.ckpt"], 1, "no weights at missing.weights"),
    ],
)
def test_refusals_are_sentences(arguments, status, words, tmp_path):
    result = run_module(*arguments, cwd=tmp_path)
    assert result.returncode == status, result.stderr
    assert words in result.stderr + result.stdout
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []
