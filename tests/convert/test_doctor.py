"""doctor says what a conversion would take, and converts nothing."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest

from convert.doctor import _open_file_problems, _output_problems, doctor
from convert.errors import UserError
from convert.job.options import RunOptions
from convert.run import run


def test_it_estimates_and_writes_nothing(tree, tmp_path, capsys, monkeypatch):
    options = RunOptions(tree / "train", tmp_path / "out", classes="imagenet1k", workers=1)
    assert doctor(options) == 0
    text = capsys.readouterr().out
    assert "source: 70 images of 3 of 1,000 classes" in text
    assert "nothing stands in the way" in text
    gigabytes = float(re.findall(r"([\d.]+) GB of output", text)[0])
    assert gigabytes == pytest.approx(0.0095 + 2 * 0.0084, abs=0.004)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_is_the_same(tree, tmp_path, capsys):
    assert run(RunOptions(tree / "train", tmp_path / "out", workers=1, dry_run=True)) == 1
    assert "say --classes imagenet1k to keep ImageNet's labels" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_problems_come_with_their_mend(tree, planes_dataset, capsys, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 1000))
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=10**8))
    monkeypatch.setattr("resource.getrlimit", lambda which: (64, 64))
    assert doctor(RunOptions(tree / "train", planes_dataset, workers=64)) == 1
    text = capsys.readouterr().out
    for mend in (
        "name another folder",
        "make room",
        "say --workers 1",
        "ulimit -n",
        "say --classes imagenet1k",
        "6 problems",
    ):
        assert mend in text


def test_an_output_that_run_would_refuse_is_a_problem(tree, tmp_path, capsys):
    (tmp_path / "out").touch()
    assert doctor(RunOptions(tree / "train", tmp_path / "out", classes="imagenet1k", workers=1)) == 1
    assert f"problem: {tmp_path / 'out'} is a file: name a folder" in capsys.readouterr().out


def test_an_output_that_run_would_go_on_with_is_none(tree, planes_dataset, tmp_path):
    """Killed between index and manifest."""
    output = shutil.copytree(planes_dataset, tmp_path / "out")
    (output / "manifest.json").unlink()
    (output / ".staging").mkdir()
    assert _output_problems(RunOptions(tree / "train", output)) == []


@pytest.mark.parametrize(("limit", "shards", "needed"), [(1024, 128, None), (128, 128, 192), (127, 3, 128)])
def test_open_files_are_counted_as_training_opens_them(monkeypatch, capsys, limit, shards, needed):
    monkeypatch.setattr("resource.getrlimit", lambda which: (limit, limit))
    problems = _open_file_problems(2, shards)
    assert len(problems) == (needed is not None)
    assert all(f"say 'ulimit -n {needed}'" in problem for problem in problems)
    assert f"MindDataset with 8 workers would need {shards * 9 + 64:,}" in capsys.readouterr().out


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_is_a_problem(tree, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("convert.job.shard.convert_shard", die)
    assert doctor(RunOptions(tree / "train", tmp_path / "out", classes="imagenet1k", workers=1)) == 1
    assert re.search(
        r"problem: the worker process \d+ was killed.* Say fewer --workers\n1 problem\n", capsys.readouterr().out
    )


def test_a_place_that_cannot_be_written_is_a_problem(tree, capsys):
    assert doctor(RunOptions(tree / "train", Path("/proc/out"), classes="imagenet1k", workers=1)) == 1
    assert "problem: nothing can be written into /proc (" in capsys.readouterr().out


def test_a_bad_source_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        doctor(RunOptions(tmp_path / "nowhere", tmp_path / "out"))
