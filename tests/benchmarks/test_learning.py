"""Training for comparison: what a log yields, what is left out when it goes on, what the page says of results."""

import dataclasses
import json
import math
import sys
from pathlib import Path

import pytest
from test_benchmarks import run

from benchmarks.learning import LearningOptions, Results, Training, epochs_in
from benchmarks.reporting.learning_page import Curve, common_accuracy, difference, learning_page, settings

ROOT = Path(__file__).resolve().parents[2]
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
ENVIRONMENT = {
    "cpu": "Some CPU", "cores": 4, "load_1min": 1.0, "python": "3.11.7", "versions": {"mindspore": "2.8.0"},
    "git": "0123456789abcdef0123456789abcdef01234567", "measured_at": "2026-01-02T03:04:05Z",
}  # fmt: skip


class ClockedLog:
    """Events with clocks that move on as told, written as a run's log.jsonl."""

    def __init__(self) -> None:
        self.lines, self.wall_s, self.cpu_s = [], 1e9, 10.0

    def add(self, kind, wall_s=0.0, cpu_s=0.0, **fields):
        self.wall_s, self.cpu_s = self.wall_s + wall_s, self.cpu_s + cpu_s
        clocks = {"unix_time_s": self.wall_s, "process_cpu_s": self.cpu_s}
        self.lines.append(json.dumps({"event": kind, **fields, **clocks}))

    def steps(self, *numbers, loss=1.0):
        for number in numbers:
            self.add("step", 2.0, 1.0, step=number, loss=loss, waiting_share=0.25)

    def start(self, step):
        self.cpu_s = 0.0  # another process
        self.add("start", 500.0, step=step, steps_per_epoch=2)

    def evaluation(self, step, top1):
        self.add("evaluation", 0.5, 0.25, step=step, top1=top1, top5=9, total=10, seconds=0.5)

    def write(self, path: Path) -> Path:
        path.write_text("\n".join([*self.lines, '{"event": "st']))
        return path


def test_a_resumed_run_counts_what_it_did_again_once_and_its_pause_never(tmp_path):
    log = ClockedLog()
    log.start(0)
    log.add("first_step", 7.0, 3.0, step=1)
    log.steps(1, 2)
    log.evaluation(2, top1=4)
    log.add("checkpoint", 1.0, 0.5, step=2)
    log.steps(3, loss=100.0)  # killed: not in the checkpoint
    log.start(2)
    log.steps(3, 4, loss=0.5)
    log.evaluation(4, top1=6)
    first, second = epochs_in(log.write(tmp_path / "log.jsonl"))
    assert (first["epoch"], first["top1"], first["top_1_accuracy"]) == (1, 4, 0.4)
    assert (first["wall_s"], first["cpu_s"], first["eval_wall_s"], first["eval_cpu_s"]) == (11.0, 5.0, 0.5, 0.25)
    assert (second["wall_s"], second["cpu_s"], second["loss"], second["waiting_share"]) == (4.0, 2.0, 0.5, 0.25)
    assert (second["elapsed_wall_s"], second["elapsed_cpu_s"]) == (11.5 + 1 + 4.5, 5.25 + 0.5 + 2.25)


def options(tmp_path: Path, **changes) -> LearningOptions:
    given = LearningOptions(source=tmp_path, json=tmp_path / "results.jsonl", folder=tmp_path / "runs")
    return dataclasses.replace(given, **changes)


def test_a_run_that_was_cut_off_goes_on_and_a_whole_one_is_left_out(tmp_path):
    run_of_planes = Training(options(tmp_path, options="--epoch-size 2"), "planes", 1)
    assert "--resume" not in run_of_planes.command(1)
    run_of_planes.folder.mkdir(parents=True)
    (run_of_planes.folder / "config.json").touch()
    assert "--resume" in run_of_planes.command(1)
    epoch = {**run_of_planes.identity, "benchmark": "learning"}
    Results(tmp_path / "results.jsonl").add([{**epoch, "epoch": 1}])
    assert not Results(tmp_path / "results.jsonl").holds_last_epoch(run_of_planes.identity)
    Results(tmp_path / "results.jsonl").add([{**epoch, "epoch": 1}, {**epoch, "epoch": 2}])
    assert Results(tmp_path / "results.jsonl").holds_last_epoch(run_of_planes.identity)
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 2
    other = Training(options(tmp_path, options="--epoch-size 2 --augmentation.hue 0"), "planes", 1)
    assert not Results(tmp_path / "results.jsonl").holds_last_epoch(other.identity)


def test_every_feed_takes_the_same_recipe(tmp_path):
    (tmp_path / "train" / "n01440764").mkdir(parents=True)
    for number in range(130):
        (tmp_path / "train" / "n01440764" / f"{number}.JPEG").touch()
    ours = Training(options(tmp_path), "planes", 2).config
    torch = Training(options(tmp_path), "torch", 2)
    torch.folder.mkdir(parents=True)
    order = json.loads(Path(torch.command(1)[-1]).read_text())
    assert len(order["rates"]) == 2 * ours.epoch_size  # 130 images in batches of 64
    assert (order["batch_size"], order["seed"], order["nesterov"]) == (ours.batch_size, 2, ours.nesterov)
    assert order["augmentation"] == dataclasses.asdict(ours.augmentation)
    assert max(order["rates"]) == pytest.approx(ours.lr_init)


SMALL = ("--image-size", 16, "--seeds", 1, "--options=--epoch-size 1 --batch-size 32")


def test_the_command_trains_writes_a_line_an_epoch_and_does_not_train_twice(tree, planes_dataset, tmp_path):
    (tmp_path / "runs" / "yuv420").mkdir(parents=True)
    for split in ("train", "val"):  # converted already, which a run that goes on relies on
        (tmp_path / "runs" / "yuv420" / split).symlink_to(planes_dataset)
    common = ("--source", tree, "--json", tmp_path / "results.jsonl", "--folder", tmp_path / "runs", *SMALL)
    done = run("learning", *common, "--feeds", "planes", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (result,) = map(json.loads, (tmp_path / "results.jsonl").read_text().splitlines())
    assert (result["feed"], result["epoch"], result["total"]) == ("planes", 1, 70)
    assert 0 < result["cpu_s"] < result["elapsed_cpu_s"]
    assert math.isfinite(result["loss"])
    again = run("learning", *common, "--feeds", "planes", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, ""), again.stderr
    missing = run("learning", *common, "--feeds", "torch", "--environment", tmp_path, cwd=tmp_path)
    assert missing.returncode == 1
    assert "'make bench-peers' installs it" in missing.stderr


@pytest.mark.slow
@pytest.mark.skipif(not PEERS_PYTHON.exists(), reason="make bench-peers has not been run here")
def test_all_feeds_train(tree, tmp_path):
    common = ("--source", tree, "--json", tmp_path / "results.jsonl", "--folder", tmp_path / "runs", *SMALL)
    done = run("learning", *common, "--environment", PEERS_PYTHON.parents[1], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [result["feed"] for result in results] == ["planes", "jpeg", "reference", "torch"]
    losses = [result["loss"] for result in results]
    assert max(losses) - min(losses) < 0.5  # the same weights to begin with, other crops


def test_a_failing_run_is_named(tree, tmp_path):
    (tmp_path / "peers" / "bin").mkdir(parents=True)
    (tmp_path / "peers" / "bin" / "python").symlink_to(sys.executable)
    common = ("--source", tree, "--json", tmp_path / "results.jsonl", "--folder", tmp_path / "runs", *SMALL)
    done = run("learning", *common, "--feeds", "torch", "--environment", tmp_path / "peers", cwd=tmp_path)
    assert done.returncode == 1
    assert "torch-seed1-imagenette-16px" in done.stderr
    assert "ended with status 1: see" in done.stderr
    assert "Traceback" not in done.stderr


def line(feed: str, seed: int, epoch: int, top1: int, **changes) -> dict:
    return {
        "benchmark": "learning", "feed": feed, "seed": seed, "image_size": 64, "batch_size": 64, "epochs": 2,
        "recipe": "imagenette", "options": "", "lr_init": 0.05, "threads": 1, "epoch": epoch, "top1": top1, "top5": 950,
        "total": 1000, "top_1_accuracy": top1 / 1000, "top_5_accuracy": 0.95, "loss": 1.5, "cpu_s": 90.0, "wall_s": 100.0,
        "eval_cpu_s": 9.0, "eval_wall_s": 10.0, "elapsed_cpu_s": 100.0 * epoch, "elapsed_wall_s": 200.0 * epoch,
        "waiting_share": 0.015, "toolkit": "torch 2.13.0" if feed == "torch" else "", "environment": ENVIRONMENT, **changes,
    }  # fmt: skip


def lines(finals: dict[str, tuple[int, ...]]) -> list[dict]:
    """Two epochs of every run: half of the last one's hits after the first."""
    return [
        line(feed, seed, epoch, top1 // (3 - epoch))
        for feed, scores in finals.items()
        for seed, top1 in enumerate(scores, 1)
        for epoch in (1, 2)
    ]


FINALS = {"planes": (510, 520, 530), "jpeg": (500, 520, 510), "reference": (500, 510, 520), "torch": (400, 600, 500)}


def curves() -> list[Curve]:
    (only,) = settings(lines(FINALS)).values()
    return only


def test_differences_are_paired_over_seeds():
    planes = difference(curves(), "planes", "reference")
    assert (planes.pairs, planes.mean, planes.half_width) == (3, pytest.approx(1), pytest.approx(0, abs=1e-9))
    torch = difference(curves(), "torch", "reference")
    # -10, 9, -2: mean -1, deviation 9.539, times 4.3027 / sqrt(3)
    assert (torch.mean, torch.half_width) == (pytest.approx(-1), pytest.approx(23.70, abs=0.01))
    assert "undecided" in torch.verdict
    assert difference(curves(), "planes", "original") is None


def test_the_time_to_an_accuracy_is_between_evaluations():
    assert common_accuracy(curves()) == pytest.approx(0.4)
    planes = curves()[0]
    assert planes.cost_to(0.255, "elapsed_cpu_s") == pytest.approx(100)
    assert planes.cost_to(0.3825, "elapsed_cpu_s") == pytest.approx(150)
    assert planes.cost_to(0.9, "elapsed_cpu_s") is None


def test_runs_that_are_not_complete_are_left_out():
    results = [*lines(FINALS), line("planes", 4, 1, 1), line("planes", 1, 1, 200, image_size=128)]
    by_setting = settings(results)
    assert [setting[0] for setting in by_setting] == [64]
    assert len(by_setting[next(iter(by_setting))]) == 12


def test_the_page_holds_the_figures():
    page = learning_page(lines(FINALS))
    assert "| planes, from yuv420 | 3 | 52.0 (51.0 to 53.0) | 95.0 (95.0 to 95.0) |" in page
    assert "| planes, from yuv420 | 3 | +1.0 | +1.0 to +1.0 | within 1 point |" in page
    assert "To 40% top-1" in page
    assert "Some CPU" in page
    assert "Beside it: torch 2.13.0." in page
    assert len(page.split("## What this shows")[1].replace("\n", " ").strip().split(". ")) == 5
    single = learning_page(lines({feed: scores[:1] for feed, scores in FINALS.items()}))
    assert "| planes, from yuv420 | 1 | +1.0 | none | one pair cannot tell |" in single
    assert "no difference can be told from chance" in single
