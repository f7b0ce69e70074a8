"""Evaluation: every image once, whatever the batch; the same answer in numpy; and what does not fit is refused."""

import csv
import dataclasses
import json
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pyarrow.parquet as pq
import pytest
from mindspore import Tensor
from PIL import Image
from train_making import IMAGES_PER_CLASS, SIZE, WNIDS, run_module

from convert.dataset import Dataset
from convert.dataset.manifest import ClassEntry, load_manifest
from convert.errors import UserError
from tinydarknet.colour import rgb_from_planes
from tinydarknet.device import Device
from tinydarknet.evaluate.__main__ import EvaluateOptions, evaluate_checkpoint
from tinydarknet.evaluate.passes import classifier_for, evaluate
from tinydarknet.feed.loader import open_eval_feed
from tinydarknet.model import checkpoint
from tinydarknet.model.description import Description
from tinydarknet.model.network import TinyDarkNet
from tinydarknet.run_folder.paths import RunFolder

pytestmark = pytest.mark.usefixtures("short_network")


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
    (batch,) = open_eval_feed(planes_data, batch_size=27, image_size=32, normalization=model.normalization)
    images = rgb_from_planes(*(batch[name] for name in ("y", "uv", "colour")))
    logits = network(Tensor(images)).asnumpy()
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
        normalization=loaded.description.model.normalization,
    )
    classifier = classifier_for(feed, checkpoint.build_network(loaded))
    with pytest.raises(UserError, match="evaluated 27 images, 27 of them different, the dataset has 28"):
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


@pytest.fixture(scope="module")
def report(finished_run, planes_data, tmp_path_factory):
    """Everything at once, by the command: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("report")
    result = run_module(
        "tinydarknet.evaluate", "--val-data-path", planes_data, "--checkpoint-path", RunFolder(finished_run).best,
        "--device-target", "CPU", "--report-dir", folder / "report", "--json", folder / "score.json",
        "--flip", "--legacy-drop", "--sweep", "48", "16", "--worst", "5", "--batch-size", "10", cwd=folder,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return folder / "report", result.stdout


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_file_agrees_with_the_counts(report, planes_data):
    folder, _ = report
    summary = json.loads((folder / "evaluation.json").read_text())
    assert {path.name for path in folder.iterdir()} == {*summary["files"], "evaluation.json"}
    right, total = summary["top1"], summary["total"]
    classes = table(folder / "classes.csv")
    assert [row["wnid"] for row in classes] == list(WNIDS)
    assert [int(row["images"]) for row in classes] == [IMAGES_PER_CLASS] * 3
    assert sum(int(row["top1"]) for row in classes) == right
    assert sum(int(row["guessed"]) for row in classes) == total == 27
    assert sum(int(row["images"]) for row in table(folder / "confusion.csv")) == total - right
    calibration = json.loads((folder / "calibration.json").read_text())
    assert sum(part["images"] for part in calibration["bins"]) == total
    assert calibration == summary["calibration"]

    images = pq.read_table(folder / "images.parquet").to_pydict()
    index = Dataset(planes_data).index.select(["id", "key", "label"]).to_pydict()
    assert {name: images[name] for name in index} == index
    assert sum(guesses[0] == label for guesses, label in zip(images["guesses"], images["label"], strict=True)) == right
    assert {tuple(guesses[3:]) for guesses in images["guesses"]} == {(-1, -1)}

    worst = table(folder / "worst.csv")
    losses = sorted(images["loss"], reverse=True)[:5]
    assert [float(row["loss"]) for row in worst] == pytest.approx(losses, abs=1e-6)
    assert all(images["key"][images["id"].index(int(row["id"]))] == row["key"] for row in worst)


def test_figures_are_drawn(report):
    folder, _ = report
    for name in ("confusion.png", "calibration.png", "sweep.png", "worst.png"):
        assert np.asarray(Image.open(folder / name).convert("L")).std() > 5


def test_the_sweep_is_what_each_size_gives_alone(report, finished_run, planes_data, tmp_path):
    folder, printed = report
    sweep = table(folder / "sweep.csv")
    assert [int(row["image_size"]) for row in sweep] == [16, SIZE, 48]
    alone = score(planes_data, RunFolder(finished_run).best, tmp_path, image_size=48)
    assert (int(sweep[2]["top1"]), int(sweep[2]["total"])) == (alone["top1"], 27)
    assert f"at 48 px: top-1 {alone['top1']} of 27" in printed
    whole = json.loads((folder / "evaluation.json").read_text())
    assert int(sweep[1]["top1"]) == whole["top1"]
    assert int(sweep[1]["flip_top1"]) == whole["flip"]["top1"]
    assert whole["flip"]["total"] == 27


def test_the_reference_s_way_stands_beside_the_exact_count(report):
    """27 images are no full batch of 128: the reference would count none."""
    folder, printed = report
    assert printed.count("accuracy:") == 1
    assert (
        "counted as the reference does, without the last incomplete batch of 128 on each rank (1): top-1 0 of 0"
        in printed
    )
    assert json.loads((folder / "evaluation.json").read_text())["legacy_drop"] == {
        "batch_size": 128, "ranks": 1, "top1": 0, "top5": 0, "total": 0,
    }  # fmt: skip


def test_json_is_the_report_s_summary_without_its_tables(report):
    folder, _ = report
    whole = json.loads((folder / "evaluation.json").read_text())
    assert json.loads((folder.parent / "score.json").read_text()).items() <= whole.items()
    assert whole["confused"] == [] or whole["confused"][0]["images"] >= whole["confused"][-1]["images"]


def test_nothing_is_left_of_a_report_that_could_not_be_made(finished_run, planes_data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    best, folder = RunFolder(finished_run).best, tmp_path / "report"
    options = {"val_data_path": planes_data, "checkpoint_path": best, "report_dir": folder, "device_target": "CPU"}
    with pytest.raises(UserError, match="need matplotlib"):
        evaluate_checkpoint(EvaluateOptions(**options))
    assert not folder.exists()
    evaluate_checkpoint(EvaluateOptions(**options, plots=False))
    assert sorted(path.name for path in folder.glob("*.png")) == ["worst.png"]


def test_a_folder_that_cannot_be_written_is_a_sentence_after_the_counts(finished_run, planes_data, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    best = RunFolder(finished_run).best
    options = EvaluateOptions(
        val_data_path=planes_data, checkpoint_path=best, report_dir=tmp_path / "file" / "report", device_target="CPU"
    )
    with pytest.raises(UserError, match="the results cannot be written"):
        evaluate_checkpoint(options)
    assert "accuracy:  {" in capsys.readouterr().out


def test_modelzoo_s_checkpoints_are_evaluated(planes_data, tmp_path):
    """Its files hold parameters by the reference's names, and no description."""
    network = TinyDarkNet(3, "modelzoo", seed=4)
    ms.save_checkpoint(network, str(tmp_path / "modelzoo.ckpt"))
    assert score(planes_data, tmp_path / "modelzoo.ckpt", tmp_path, image_size=32)["total"] == 27


EVALUATE = ("--val-data-path", "missing", "--checkpoint-path", "missing")


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
        (
            ["tinydarknet.evaluate", *EVALUATE, "--sweep", "160", "200"],
            2,
            "sweep must be a positive",
        ),
        (["tinydarknet.evaluate", *EVALUATE, "--worst", "0"], 2, "worst must be at least 1, got 0"),
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
