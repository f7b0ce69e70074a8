"""Evaluation on several ranks for real, under msrun: the same report as one rank's, spoken and written once."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import processes
import pyarrow.parquet as pq
import pytest
from PIL import Image
from train_making import free_port

from tinydarknet.evaluate.__main__ import EvaluateOptions, evaluate_checkpoint
from tinydarknet.run_folder.paths import RunFolder

pytestmark = pytest.mark.usefixtures("short_network")

IMAGES = 27
WORST = 5


SABOTAGE = """
from tinydarknet.evaluate import __main__, evaluation
from tinydarknet.feed import Rank

open_honestly = evaluation.open_eval_feed
evaluation.open_eval_feed = lambda data, *, rank, **others: open_honestly(data, rank=Rank(0, of=rank.of), **others)
__main__.main()
"""
"""Evaluates with every rank taking the first one's share."""


def on_ranks(
    ranks: int, data: Path, checkpoint: Path, folder: Path, program: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Evaluate in batches of 4, into folder/report; each rank's output lies in folder/ranks."""
    launcher = ["-m", "tinydarknet.launch"]
    if program is not None:
        (folder / "program.py").write_text(program)
        launcher = [
            "-c",
            "from functools import partial; from pathlib import Path; from tinydarknet import launch; "
            "launch.launch = partial(launch.launch, script=Path('program.py').absolute()); launch.main()",
        ]
    command = [
        sys.executable, *launcher, "--program", "evaluate", "--ranks", ranks,
        "--master-port", free_port(), "--log-dir", folder / "ranks", "--",
        "--val-data-path", data, "--checkpoint-path", checkpoint, "--device-target", "CPU", "--batch-size", 4,
        "--report-dir", folder / "report", "--worst", WORST, "--flip", "--legacy-drop", "--no-plots",
    ]  # fmt: skip
    return processes.run(command, folder, timeout_s=600)


def evaluated(ranks: int, data: Path, checkpoint: Path, folder: Path) -> tuple[Path, list[str]]:
    """The report of `ranks` ranks, and each rank's output."""
    result = on_ranks(ranks, data, checkpoint, folder)
    logs = [(folder / "ranks" / f"worker_{rank}.log").read_text() for rank in range(ranks)]
    assert result.returncode == 0, logs[0][-3000:]
    return folder / "report", logs


@pytest.fixture(scope="module")
def one_rank(finished_run, planes_data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    evaluate_checkpoint(
        EvaluateOptions(
            val_data_path=planes_data, checkpoint_path=RunFolder(finished_run).best, device_target="CPU",
            report_dir=folder, worst=WORST, flip=True, plots=False,
        )
    )  # fmt: skip
    return folder


def check_same(report: Path, one_rank: Path, ranks: int) -> None:
    ours, theirs = (json.loads((folder / "evaluation.json").read_text()) for folder in (report, one_rank))
    for name in ("top1", "top5", "total"):
        assert ours[name] == theirs[name]
        assert ours["flip"][name] == theirs["flip"][name]
    assert (ours["world_size"], ours["total"]) == (ranks, IMAGES)
    assert ours["legacy_drop"]["ranks"] == ranks
    ours, theirs = (pq.read_table(folder / "images.parquet").to_pydict() for folder in (report, one_rank))
    for name in ("id", "key", "label", "place", "guesses"):
        assert ours[name] == theirs[name]
    np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-5)
    ours, theirs = (np.asarray(Image.open(folder / "worst.png")) for folder in (report, one_rank))
    np.testing.assert_array_equal(ours, theirs)


def test_two_ranks_write_what_one_writes_and_speak_once(finished_run, planes_data, one_rank, tmp_path):
    report, logs = evaluated(2, planes_data, RunFolder(finished_run).best, tmp_path)
    check_same(report, one_rank, 2)
    assert [log.count("accuracy:  {") for log in logs] == [1, 0]
    assert [log.count("images") for log in logs][1] == 0


@pytest.mark.slow
def test_ranks_that_see_the_same_images_are_refused(finished_run, planes_data, tmp_path):
    """27 images over 2 ranks of 4: the first one's share are 14 of them. On one rank: tests/evaluate/test_passes.py."""
    result = on_ranks(2, planes_data, RunFolder(finished_run).best, tmp_path, SABOTAGE)
    assert result.returncode == 1
    assert "error: evaluated 28 images, 14 of them different, the dataset has 27" in result.stderr
    assert "accuracy:" not in (tmp_path / "ranks" / "worker_0.log").read_text()
    assert not (tmp_path / "report").exists()


@pytest.mark.slow
def test_eight_ranks_write_what_one_writes(finished_run, planes_data, one_rank, tmp_path):
    """More ranks than batches: 27 images over 8 ranks of 4 leave five places empty."""
    report, _ = evaluated(8, planes_data, RunFolder(finished_run).best, tmp_path)
    check_same(report, one_rank, 8)
