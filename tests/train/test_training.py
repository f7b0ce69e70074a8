"""Whole runs on 27 small images: logs, resuming, stopping, refusals."""

import csv
import dataclasses
import json
import re
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import processes
import pytest
from mindspore.common.api import _CellGraphExecutor
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from train_making import SIZE, scored_hits, tiny_config

from convert.dataset import Dataset
from convert.dataset.classes import load_imagenet1k
from convert.dataset.manifest import ClassEntry, load_manifest
from convert.errors import UserError
from tinydarknet.device import EXIT_TERMINATED, Device
from tinydarknet.model import checkpoint
from tinydarknet.model.network import TinyDarkNet
from tinydarknet.run_folder.log_writer import SCALARS
from tinydarknet.run_folder.paths import RunFolder
from tinydarknet.train.assembly import assemble, initial_weights
from tinydarknet.train.training import train

pytestmark = pytest.mark.usefixtures("short_network")

EVALUATION_TAGS = [f"evaluation/{name}" for name in SCALARS["evaluation"]]


def events(run_dir: Path, kind: str) -> list[dict]:
    lines = [json.loads(line) for line in (run_dir / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == kind]


def steps(run_dir: Path) -> dict[int, tuple[float, int]]:
    """Loss and ids of every step; the last word counts where a step was done twice."""
    return {line["step"]: (line["loss"], line["ids_crc32"]) for line in events(run_dir, "step")}


def weights(path: Path) -> dict[str, np.ndarray]:
    loaded = checkpoint.load(path)
    return {**loaded.weights, **loaded.state}


def assert_same_steps(ours: dict[int, tuple[float, int]], theirs: dict[int, tuple[float, int]]) -> None:
    assert ours.keys() == theirs.keys()
    for step, (loss, ids) in theirs.items():
        assert ours[step][1] == ids, f"other images at step {step}"
        assert ours[step][0] == pytest.approx(loss, abs=1e-6), f"another loss at step {step}"


def assert_same_run(ours: Path, theirs: Path) -> None:
    assert_same_steps(steps(ours), steps(theirs))
    last = "checkpoints/step-000000009.ckpt"
    expected = weights(theirs / last)
    for name, array in weights(ours / last).items():
        np.testing.assert_allclose(array, expected[name], atol=1e-6, err_msg=name)


def test_a_run_leaves_what_it_promises(finished_run, planes_data):
    folder = RunFolder(finished_run)
    assert [path.name for path in folder.newest_first()] == [f"step-00000000{step}.ckpt" for step in (9, 6, 3)]
    assert folder.best.is_file()
    assert sorted(steps(finished_run)) == list(range(1, 10))
    assert [line["step"] for line in events(finished_run, "evaluation")] == [3, 6, 9]
    assert {line["total"] for line in events(finished_run, "evaluation")} == {27}
    config = json.loads((finished_run / "config.json").read_text())
    assert config["data_path"] == str(planes_data)
    assert config["augmentation"]["flip"] == 0.5
    environment = json.loads((finished_run / "environment.json").read_text())
    assert {"versions", "git_revision", "dataset_digest"} <= environment.keys()
    described = checkpoint.load(folder.best).description
    assert described.model.image_size == SIZE
    assert described.run is not None
    best = max(events(finished_run, "evaluation"), key=lambda line: line["top1"])
    assert described.run.best_top1 == pytest.approx(best["top1"] / 27)
    rows = list(csv.DictReader((finished_run / "log.csv").open()))
    assert [float(row["loss"]) for row in rows] == [line["loss"] for line in events(finished_run, "step")]
    rates = [line["learning_rate"] for line in events(finished_run, "step")]
    np.testing.assert_allclose(rates, 0.02 * np.array([1 / 3, 2 / 3, 1, 1, 1, 1, 0.3, 0.3, 0.3]), rtol=1e-6)


def test_the_start_is_told_apart_from_waiting(finished_run):
    """The first step makes feed and graph: no later share of waiting counts it."""
    (start,) = events(finished_run, "first_step")
    assert start["step"] == 1
    assert 0 < start["first_batch_s"] < start["first_step_s"]
    first, *later = events(finished_run, "step")
    assert first["waiting_share"] == first["recent_waiting_share"] == 0
    # fewer steps than the recent share is of: both are of the same ones
    assert all(0 <= step["waiting_share"] == step["recent_waiting_share"] < 1 for step in later)


def test_resumed_equals_uninterrupted(finished_run, planes_data, tmp_path, capsys):
    """As if killed between two checkpoints, and the newest spoilt: it is skipped, the one before is used."""
    copy = tmp_path / "copy"
    shutil.copytree(finished_run, copy)
    RunFolder(copy).checkpoint(9).unlink()
    spoilt = RunFolder(copy).checkpoint(6)
    spoilt.write_bytes(spoilt.read_bytes()[:-100])
    log = copy / "log.jsonl"
    kept = [line for line in log.read_text().splitlines() if json.loads(line).get("step", 0) <= 7]
    log.write_text("\n".join(kept) + "\n")
    assert train(tiny_config(planes_data, copy, val_data_path=planes_data, resume=True)) == 0
    out = capsys.readouterr().out
    assert f"warning: skipped a checkpoint: {spoilt} is damaged" in out
    assert "after step 3" in out
    assert_same_run(copy, finished_run)


def test_everything_on_resumes_exactly(planes_data, tmp_path):
    """Parts, moving average, dynamic loss scale, nesterov: all of their state is in the checkpoint."""
    options = {"gradient_accumulation": 2, "batch_size": 4, "ema_decay": 0.9, "is_dynamic_loss_scale": True}
    options |= {"nesterov": True, "checkpoint_every_steps": 2, "keep_checkpoint_max": 3}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert train(tiny_config(planes_data, whole, **options)) == 0
    newest = RunFolder(whole).newest_first()
    assert [path.name for path in newest] == [f"step-00000000{step}.ckpt" for step in (9, 8, 6)]
    assert {"raw.conv1.conv.weight", "loss_scale.value", "global_step"} <= checkpoint.load(newest[0]).state.keys()
    shutil.copytree(whole, cut)
    for step in (8, 9):
        RunFolder(cut).checkpoint(step).unlink()
    assert train(tiny_config(planes_data, cut, resume=True, **options)) == 0
    assert_same_run(cut, whole)


def test_tensorboard_shows_what_the_log_says(finished_run):
    """Read by TensorBoard's own loader."""
    (board,) = finished_run.glob("events.out.tfevents.*")
    shown = EventAccumulator(str(board)).Reload()
    assert shown.Tags()["scalars"] == [*(f"step/{name}" for name in SCALARS["step"]), *EVALUATION_TAGS]
    for kind, names in SCALARS.items():
        for name in names:
            points = shown.Scalars(f"{kind}/{name}")
            logged = events(finished_run, kind)
            assert [point.step for point in points] == [line["step"] for line in logged]
            np.testing.assert_allclose([point.value for point in points], [line[name] for line in logged], rtol=1e-6)


def test_sizes_grow_by_epoch_and_resume_exactly(planes_data, tmp_path, capsys, compiled):
    """Epochs 1 and 2 at 16 pixels, 3 and 4 at 32; cut in the middle of the first half, and just where they meet."""
    options = {"image_sizes": (16, SIZE), "epoch_size": 4, "checkpoint_every_steps": 1, "keep_checkpoint_max": 20}
    whole = tmp_path / "whole"
    assert train(tiny_config(planes_data, whole, val_data_path=planes_data, **options)) == 0
    out = capsys.readouterr().out
    assert "epochs 1 to 2 of 4: images of 16 pixels" in out
    assert "epochs 3 to 4 of 4: images of 32 pixels" in out
    assert [line["image_size"] for line in events(whole, "step")] == [16] * 6 + [32] * 6
    assert checkpoint.load(RunFolder(whole).best).description.model.image_size == SIZE
    assert compiled == {"TrainStep": 2, "Classifier": 1}, "once for each size, once for all four evaluations"
    for last in (4, 6):
        cut = shutil.copytree(whole, tmp_path / f"cut{last}")
        for step in range(last + 1, 13):
            RunFolder(cut).checkpoint(step).unlink()
        (cut / "log.jsonl").write_text("")
        assert train(tiny_config(planes_data, cut, resume=True, **options)) == 0
        assert_same_steps(steps(cut), {step: values for step, values in steps(whole).items() if step > last})


@pytest.fixture
def compiled(monkeypatch) -> Counter:
    """Counts the graphs that MindSpore compiles, by the class of their cell."""
    counts: Counter = Counter()
    compile_graph = _CellGraphExecutor.compile

    def count(self, cell, *args, **kwargs):
        phase, anew = compile_graph(self, cell, *args, **kwargs)
        counts[type(cell).__name__] += anew
        return phase, anew

    monkeypatch.setattr(_CellGraphExecutor, "compile", count)
    return counts


def test_the_moving_average_is_what_is_scored_and_what_is_kept(planes_data, tmp_path):
    """best.ckpt scores what the log says; its raw weights stand beside; a run without the average goes on with them."""
    run_dir = tmp_path / "run"
    options = {"ema_decay": 0.7, "lr_init": 0.05}
    assert train(tiny_config(planes_data, run_dir, val_data_path=planes_data, **options)) == 0
    best = max(events(run_dir, "evaluation"), key=lambda line: line["top1"])
    assert scored_hits(planes_data, RunFolder(run_dir).best, tmp_path) == (best["top1"], best["top5"])
    last = checkpoint.load(RunFolder(run_dir).checkpoint(9))
    assert "moving average (decay 0.7)" in last.description.model.source
    raw = {name.removeprefix("raw."): array for name, array in last.state.items() if name.startswith("raw.")}
    assert raw.keys() == last.weights.keys()
    assert np.abs(raw["conv16.conv.weight"] - last.weights["conv16.conv.weight"]).max() > 0
    for step in (6, 9):
        RunFolder(run_dir).checkpoint(step).unlink()
    assert train(tiny_config(planes_data, run_dir, lr_init=0.05, resume=True)) == 0
    for name, array in checkpoint.load(RunFolder(run_dir).checkpoint(9)).weights.items():
        np.testing.assert_allclose(array, raw[name], atol=1e-6, err_msg=name)


def test_replaced_images_are_told_and_counted(planes_data, tmp_path, capsys):
    records = Dataset(planes_data)
    damaged = shutil.copytree(planes_data, tmp_path / "damaged")
    with (damaged / records.manifest.shards[0].name).open("r+b") as stream:
        stream.seek(int(records._offsets[0]))
        stream.write(bytes(100))
    options = {"epoch_size": 2, "check_reads": True}
    with pytest.raises(UserError, match=r"mindrecord\d*: row 0 \(n\d+/.*\) is damaged.*convert verify .*tolerate"):
        train(tiny_config(damaged, tmp_path / "strict", **options))
    assert train(tiny_config(damaged, tmp_path / "run", tolerate=3, **options)) == 0
    out = capsys.readouterr().out
    assert len(re.findall(r"^warning: .*: row 0 \(.*\) is damaged, its checksum differs; another", out, re.M)) == 1
    assert (
        "warning: damaged images replaced by others: 1 (--tolerate 3 for each rank); 'python -m convert verify" in out
    )
    (replaced,) = events(tmp_path / "run", "replaced")
    assert "row 0" in replaced["image"]
    assert events(tmp_path / "run", "end")[0]["replaced"] == 1


def test_sigterm_saves_and_says_so(planes_data, finished_run, tmp_path):
    run_dir = tmp_path / "run"
    command = [
        sys.executable, "-m", "tinydarknet.train", "--data-path", planes_data, "--run-dir", run_dir, "--device-target", "CPU",
        "--batch-size", 8, "--image-height", SIZE, "--image-width", SIZE, "--epoch-size", 100_000, "--seed", 5,
        "--lr-init", 0.02, "--warmup-epochs", 1, "--lr-epochs", 2, "--checkpoint-every-steps", 1_000_000,
    ]  # fmt: skip
    with processes.running(command, tmp_path) as program:
        program.wait_for("epoch: 2 step:")
        program.process.send_signal(signal.SIGTERM)
        done = program.finish()
    assert done.returncode == EXIT_TERMINATED, done.stderr
    assert "stopped as asked after step" in done.stdout
    saved = RunFolder(run_dir).newest_first()
    assert len(saved) == 1
    state = checkpoint.load(saved[0]).description.run
    assert state is not None
    assert state.step == max(steps(run_dir)) >= 4
    # the same seed, data and rates: its steps are those of the finished run
    first = range(1, 5)
    assert_same_steps(
        {step: steps(run_dir)[step] for step in first}, {step: steps(finished_run)[step] for step in first}
    )


def test_the_references_lines(finished_run):
    out = (finished_run.parent / "run.out").read_text()
    assert len(re.findall(r"^epoch: [123] step: 3, loss is \d+\.\d{7}$", out, re.MULTILINE)) == 3
    assert len(re.findall(r"^Epoch time: \d+\.\d{3}, per step time: \d+\.\d{3}$", out, re.MULTILINE)) == 3
    accuracy = r"^accuracy:  \{'top_1_accuracy': [\d.]+, 'top_5_accuracy': 1.0\}$"
    assert len(re.findall(accuracy, out, re.MULTILINE)) == 3


def test_darknets_weights_are_a_start(planes_data, tmp_path):
    """Read as they are; for a network that divides by 255, which the sentence says."""
    path = tmp_path / "tiny.weights"
    network = TinyDarkNet(1000)
    count = sum(parameter.size for parameter in network.get_parameters())
    values = np.random.default_rng(0).uniform(0.5, 1, count).astype("<f4")
    path.write_bytes(np.array([0, 1, 0, 77], "<i4").tobytes() + values.tobytes())
    classes = tuple(ClassEntry(entry.wnid, entry.name) for entry in load_imagenet1k())
    manifest = dataclasses.replace(load_manifest(planes_data), classes=classes)
    notes = initial_weights(path, network, tiny_config(planes_data, tmp_path), manifest)
    np.testing.assert_array_equal(network.conv1.bn.beta.asnumpy(), values[:16])
    assert "--normalization.mean 0.0 0.0 0.0 --normalization.std 255.0 255.0 255.0" in notes[1]
    with pytest.raises(UserError, match=r"tells 1000 classes apart, the dataset .* has 3"):
        initial_weights(path, network, tiny_config(planes_data, tmp_path), load_manifest(planes_data))


def test_pretrained_weights_are_the_start(finished_run, planes_data):
    source = RunFolder(finished_run).checkpoint(9)
    network = TinyDarkNet(3)
    config = tiny_config(planes_data, finished_run)
    (note,) = initial_weights(source, network, config, load_manifest(planes_data))
    assert "trained for 9 steps" in note
    expected = checkpoint.load(source).weights
    for parameter in network.get_parameters():
        np.testing.assert_array_equal(parameter.asnumpy(), expected[parameter.name])
    with pytest.raises(UserError, match="is of variant darknet, the run of modelzoo: say --variant darknet"):
        initial_weights(source, network, dataclasses.replace(config, variant="modelzoo"), load_manifest(planes_data))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"batch_size": 28}, "one step takes 28 images, the dataset .* has 27: use a smaller batch_size"),
        ({"num_classes": 5}, "num_classes is 5, the dataset .* has 3"),
        ({"resume": True}, "holds no run to go on with"),
        ({"data_path": Path("nowhere")}, "no dataset at nowhere"),
        ({"val_data_path": Path("nowhere")}, "no dataset at nowhere"),
        ({"pre_trained": True, "checkpoint_path": Path("no.ckpt")}, "no checkpoint at no.ckpt"),
    ],
)
def test_refusals(planes_data, tmp_path, changes, sentence):
    run_dir = tmp_path / "run"
    with pytest.raises(UserError, match=sentence):
        train(tiny_config(planes_data, run_dir, **changes))
    assert not run_dir.exists()


def test_one_class_is_nothing_to_train_on(planes_data, tmp_path):
    manifest = load_manifest(planes_data)
    alone = dataclasses.replace(manifest, classes=manifest.classes[:1])
    with pytest.raises(
        UserError, match=r"has one class only, n01440764: training needs two at least; convert the folder"
    ):
        assemble(tiny_config(planes_data, tmp_path), Device("CPU", 0, 1), alone)


def test_a_run_folder_serves_one_run(finished_run, planes_data):
    with pytest.raises(UserError, match="already holds a run"):
        train(tiny_config(planes_data, finished_run))
    with pytest.raises(UserError, match="its seed is 5, now it would be 6"):
        train(tiny_config(planes_data, finished_run, resume=True, seed=6))


def test_diverging_is_told(planes_data, tmp_path):
    with pytest.raises(UserError, match=r"the loss is .* at step .*: lower lr_init"):
        train(tiny_config(planes_data, tmp_path / "run", lr_init=1e30, warmup_epochs=0))
