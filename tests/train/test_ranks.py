"""Two ranks for real, under msrun: the same curve as one rank, an exact evaluation, a stop that all agree on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from train_making import REPOSITORY, SIZE, free_port, tiny_config

from tinydarknet.model import checkpoint
from tinydarknet.model.network import TinyDarkNet
from tinydarknet.training.run import train
from tinydarknet.training.run_folder import RunFolder

LEARNING_RATE = 1e-4
"""Small: with 4 images of 32 pixels in a batch, batch norm doubles any difference of rounding at every step."""


def msrun(script: Path, *arguments: str | Path | float, cwd: Path) -> subprocess.CompletedProcess:
    """Run a script as two ranks; msrun takes its Python from PATH."""
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PATH": f"{binaries}:{os.environ['PATH']}"}
    command = [binaries / "msrun", "--worker_num=2", "--local_worker_num=2", f"--master_port={free_port()}"]
    command += ["--log_dir=ranks", "--join=True", "--cluster_time_out=60", script, *arguments]
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, timeout=180
    )


@pytest.fixture(scope="module")
def two_ranks(planes_data, work):
    """A run of 6 steps on two ranks, evaluated by both."""
    run_dir = work / "two"
    result = msrun(
        REPOSITORY / "tinydarknet" / "train.py", "--data-path", planes_data, "--val-data-path", planes_data,
        "--run-dir", run_dir, "--device-target", "CPU", "--batch-size", 4, "--image-height", SIZE, "--image-width", SIZE,
        "--epoch-size", 2, "--seed", 5, "--lr-init", LEARNING_RATE, cwd=work,
    )  # fmt: skip
    assert result.returncode == 0, (work / "ranks" / "worker_0.log").read_text()[-3000:]
    return run_dir


def events(run_dir: Path, kind: str) -> list[dict]:
    return [line for line in map(json.loads, (run_dir / "log.jsonl").open()) if line["event"] == kind]


def test_two_ranks_are_one_rank_in_two_parts(two_ranks, planes_data, tmp_path):
    one = tmp_path / "one"
    changes = {
        "batch_size": 4,
        "gradient_accumulation": 2,
        "epoch_size": 2,
        "lr_init": LEARNING_RATE,
        "warmup_epochs": 0,
    }
    assert train(tiny_config(planes_data, one, lr_epochs=(), **changes)) == 0
    ours, theirs = ([line["loss"] for line in events(folder, "step")] for folder in (two_ranks, one))
    assert len(ours) == 6
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    ours, theirs = (checkpoint.load(RunFolder(folder).checkpoint(6)).weights for folder in (two_ranks, one))
    start = TinyDarkNet(3, seed=5)
    for parameter in start.trainable_params():
        before, name = parameter.asnumpy(), parameter.name
        moved = theirs[name] - before
        apart = np.linalg.norm(ours[name] - theirs[name])
        # rounding grows to some per cent in six steps; ranks that do not share gradients are apart by the whole move
        assert apart < 0.1 * np.linalg.norm(moved), name


def test_both_ranks_count_every_image_once(two_ranks):
    assert [line["total"] for line in events(two_ranks, "evaluation")] == [27, 27]


def test_resume_on_one_rank_goes_on(two_ranks, planes_data, capsys):
    """The order belongs to the run, not to its ranks: one rank with the same global batch takes over."""
    config = tiny_config(
        planes_data,
        two_ranks,
        batch_size=8,
        epoch_size=3,
        lr_init=LEARNING_RATE,
        lr_epochs=(),
        warmup_epochs=0,
        resume=True,
    )
    assert train(config) == 0
    assert "after step 6" in capsys.readouterr().out
    assert [line["step"] for line in events(two_ranks, "step")] == list(range(1, 10))
