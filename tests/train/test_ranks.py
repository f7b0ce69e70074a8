"""Two ranks for real, under msrun: the same curve as one rank, an exact evaluation, a stop that all agree on."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import processes
import pytest
from train_making import REPOSITORY, SIZE, free_port, scored_hits, tiny_config

from tinydarknet.config import TrainConfig
from tinydarknet.model import checkpoint
from tinydarknet.model.network import TinyDarkNet
from tinydarknet.run_folder.paths import RunFolder
from tinydarknet.train.training import train

pytestmark = pytest.mark.usefixtures("short_network")

EMA_DECAY = 0.5
LEARNING_RATE = 1e-4
"""Small: with 4 images of 32 pixels in a batch, batch norm doubles any difference of rounding at every step."""


def msrun(script: Path, *arguments: object, cwd: Path, ranks: int = 2) -> subprocess.CompletedProcess[str]:
    """Run a script as several ranks; msrun takes its Python from PATH."""
    binaries = Path(sys.executable).parent
    command = [
        binaries / "msrun",
        f"--worker_num={ranks}",
        f"--local_worker_num={ranks}",
        f"--master_port={free_port()}",
    ]
    command += ["--log_dir=ranks", "--join=True", "--cluster_time_out=120", script, *arguments]
    return processes.run(command, cwd, 150 * ranks, PATH=f"{binaries}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture(scope="module")
def two_ranks(planes_data, work):
    """A run of 6 steps on two ranks, evaluated by both."""
    run_dir = work / "two"
    result = msrun(
        REPOSITORY / "tinydarknet" / "train" / "__main__.py", "--data-path", planes_data, "--val-data-path", planes_data,
        "--run-dir", run_dir, "--device-target", "CPU", "--batch-size", 4, "--image-height", SIZE, "--image-width", SIZE,
        "--epoch-size", 2, "--seed", 5, "--lr-init", LEARNING_RATE, "--ema-decay", EMA_DECAY, cwd=work,
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
        "ema_decay": EMA_DECAY,
    }
    assert train(tiny_config(planes_data, one, lr_epochs=(), **changes)) == 0
    ours, theirs = ([line["loss"] for line in events(folder, "step")] for folder in (two_ranks, one))
    assert len(ours) == 6
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert_moved_alike(two_ranks, one, step=6)


def assert_moved_alike(ours: Path, theirs: Path, step: int) -> None:
    """Rounding grows to some per cent in a few steps; ranks that do not share gradients are apart by the whole move."""
    ours_then, theirs_then = (checkpoint.load(RunFolder(folder).checkpoint(step)).weights for folder in (ours, theirs))
    for parameter in TinyDarkNet(3, seed=5).trainable_params():
        name = parameter.name
        moved = theirs_then[name] - parameter.asnumpy()
        apart = np.linalg.norm(ours_then[name] - theirs_then[name])
        assert apart < 0.1 * np.linalg.norm(moved), name


def test_both_ranks_count_every_image_once(two_ranks):
    assert [line["total"] for line in events(two_ranks, "evaluation")] == [27, 27]


def test_what_both_ranks_scored_is_what_the_file_scores(two_ranks, planes_data, tmp_path):
    """The average of the weights, with batch norm statistics that both ranks have agreed on."""
    best = max(events(two_ranks, "evaluation"), key=lambda line: line["top1"])
    assert scored_hits(planes_data, RunFolder(two_ranks).best, tmp_path) == (best["top1"], best["top5"])


def test_resume_on_one_rank_goes_on(two_ranks, finished_run, planes_data, tmp_path, capsys):
    """The order belongs to the run, not to its ranks: one rank with the same global batch takes over.

    The images of the steps that it does are those of a run that always had one rank.
    """
    copy = shutil.copytree(two_ranks, tmp_path / "copy")
    config = tiny_config(
        planes_data,
        copy,
        batch_size=8,
        epoch_size=3,
        lr_init=LEARNING_RATE,
        lr_epochs=(),
        warmup_epochs=0,
        ema_decay=EMA_DECAY,
        resume=True,
    )
    assert train(config) == 0
    assert "after step 6" in capsys.readouterr().out
    assert [line["step"] for line in events(copy, "step")] == list(range(1, 10))
    ours, theirs = ([line["ids_crc32"] for line in events(folder, "step")[6:]] for folder in (copy, finished_run))
    assert ours == theirs


@pytest.mark.slow
def test_eight_ranks_follow_the_curve_of_one(planes_dataset, tmp_path):
    """20 steps of 64 images: 8 ranks of 8, and one rank in 8 parts."""
    recipe = {"image_height": SIZE, "image_width": SIZE, "epoch_size": 20, "seed": 5, "lr_init": LEARNING_RATE}
    words = [word for name, value in recipe.items() for word in (f"--{name.replace('_', '-')}", value)]
    result = msrun(
        REPOSITORY / "tinydarknet" / "train" / "__main__.py", "--data-path", planes_dataset, "--run-dir", tmp_path / "eight",
        "--device-target", "CPU", "--batch-size", 8, *words, cwd=tmp_path, ranks=8,
    )  # fmt: skip
    assert result.returncode == 0, (tmp_path / "ranks" / "worker_0.log").read_text()[-3000:]
    one = TrainConfig(
        data_path=planes_dataset, run_dir=tmp_path / "one", device_target="CPU", batch_size=8, gradient_accumulation=8,
        **recipe,
    )  # fmt: skip
    assert train(one) == 0
    ours, theirs = ([line["loss"] for line in events(tmp_path / name, "step")] for name in ("eight", "one"))
    print("losses apart by at most", np.abs(np.subtract(ours, theirs)).max(), "; one rank's:", theirs)
    assert len(ours) == 20
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert_moved_alike(tmp_path / "eight", tmp_path / "one", step=20)
