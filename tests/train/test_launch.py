"""The launcher with two real ranks: one is killed, or all are told to stop."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from train_making import REPOSITORY, SIZE, free_port

from tinydarknet.device import EXIT_TERMINATED
from tinydarknet.launch import RANK_VARIABLE, WORKER_ROLE, LaunchOptions, _children
from tinydarknet.model import checkpoint
from tinydarknet.training.run_folder import RunFolder

END_SECONDS = 30
"""Promised: all ranks are gone so long after one has died."""


def start(planes_data: Path, tmp_path: Path) -> subprocess.Popen:
    """Launch an endless run on two ranks and wait for its fourth step."""
    command = [
        sys.executable, "-m", "tinydarknet.launch", "--ranks", 2, "--master-port", free_port(), "--log-dir", tmp_path / "ranks", "--",
        "--data-path", planes_data, "--run-dir", tmp_path / "run", "--device-target", "CPU", "--batch-size", 4,
        "--image-height", SIZE, "--image-width", SIZE, "--epoch-size", 100_000, "--checkpoint-every-steps", 1_000_000,
    ]  # fmt: skip
    process = subprocess.Popen(
        list(map(str, command)), cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step 4 of"):
            return process
    raise AssertionError((tmp_path / "ranks" / "worker_0.log").read_text()[-3000:])


def workers(launcher: subprocess.Popen) -> dict[int, int]:
    """Rank to process number."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    return {int(env[RANK_VARIABLE]): pid for child in children for pid, env in _children(int(child), WORKER_ROLE)}


def test_a_dead_rank_ends_the_run(planes_data, tmp_path):
    launcher = start(planes_data, tmp_path)
    ranks = workers(launcher)
    os.kill(ranks[1], signal.SIGKILL)
    killed = time.monotonic()
    rest, errors = launcher.communicate(timeout=120)
    assert time.monotonic() - killed < END_SECONDS
    assert launcher.returncode == 128 + signal.SIGKILL
    assert "error: rank 1 ended with status -9" in errors
    assert "Traceback" not in rest
    assert "RuntimeError" not in rest
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks.values())


def test_sigterm_reaches_all_ranks_and_saves(planes_data, tmp_path):
    launcher = start(planes_data, tmp_path)
    launcher.send_signal(signal.SIGTERM)
    _, errors = launcher.communicate(timeout=120)
    assert launcher.returncode == EXIT_TERMINATED, errors
    assert "error: " not in errors
    (saved,) = RunFolder(tmp_path / "run").newest_first()
    state = checkpoint.load(saved).description.run
    assert state is not None
    end = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert (end["event"], end["step"], end["status"]) == ("end", state.step, EXIT_TERMINATED)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"ranks": 0}, "ranks must be at least 1, got 0"),
        ({"ranks": 3, "nodes": 2}, "multiple of nodes, got 3 and 2"),
        ({"node_rank": 1}, r"node_rank must be in \[0, nodes\), got 1"),
        ({"master_port": 70000}, "master_port must be in"),
    ],
)
def test_bad_options(options, rule):
    with pytest.raises(ValueError, match=rule):
        LaunchOptions(**options)
