"""SIGKILL at any step, then resume: the images and losses of a run that nobody killed."""

import json
import random
import signal
import sys
from pathlib import Path

import numpy as np
import processes
import pytest
from train_making import SIZE, graphs_kept_in

from tinydarknet.model import checkpoint
from tinydarknet.run_folder.paths import RunFolder

pytestmark = pytest.mark.usefixtures("short_network")

STEPS = 27

KILLED = Path(__file__).with_name("train_killed.py")


def run(data: Path, run_dir: Path, kill_after: int | None = None, resume: bool = False) -> int:
    """Train 3 epochs of 9 steps with a checkpoint every other step; SIGKILL after step `kill_after`."""
    program = ["-m", "tinydarknet.train"] if kill_after is None else [KILLED, kill_after]
    command = [
        sys.executable, *program, "--data-path", data, "--run-dir", run_dir, "--device-target", "CPU",
        "--batch-size", 3, "--image-height", SIZE, "--image-width", SIZE, "--epoch-size", 3, "--seed", 5,
        "--lr-init", 0.01, "--checkpoint-every-steps", 2, *(["--resume"] if resume else []),
    ]  # fmt: skip
    return processes.run(command, run_dir.parent, **graphs_kept_in(data.with_name("killed-graphs"))).returncode


def steps(run_dir: Path) -> dict[int, tuple[float, int]]:
    """Loss and ids of every step; a line that the kill cut short does not count."""
    found = {}
    for line in (run_dir / "log.jsonl").read_text().splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if event["event"] == "step":
            found[event["step"]] = event["loss"], event["ids_crc32"]
    return found


@pytest.fixture(scope="module")
def uninterrupted(planes_data, work):
    run_dir = work / "uninterrupted"
    assert run(planes_data, run_dir) == 0
    return run_dir


def check_kills(kills: list[int], planes_data: Path, uninterrupted: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "killed"
    for number, step in enumerate(kills):
        assert run(planes_data, run_dir, step, resume=number > 0) == -signal.SIGKILL
    assert run(planes_data, run_dir, resume=True) == 0
    ours, theirs = steps(run_dir), steps(uninterrupted)
    assert list(theirs) == list(range(1, STEPS + 1))
    assert {step: ids for step, (_, ids) in ours.items()} == {step: ids for step, (_, ids) in theirs.items()}
    np.testing.assert_allclose([ours[s][0] for s in theirs], [loss for loss, _ in theirs.values()], atol=1e-6)
    weights, expected = (checkpoint.load(RunFolder(folder).checkpoint(STEPS)) for folder in (run_dir, uninterrupted))
    for name, array in expected.weights.items():
        np.testing.assert_allclose(weights.weights[name], array, atol=1e-6, err_msg=name)


def test_killed_once(planes_data, uninterrupted, tmp_path):
    check_kills([13], planes_data, uninterrupted, tmp_path)


@pytest.mark.slow
def test_killed_ten_times(planes_data, uninterrupted, tmp_path):
    """Ten steps drawn once."""
    check_kills(sorted(random.Random(2).sample(range(1, STEPS), 10)), planes_data, uninterrupted, tmp_path)
