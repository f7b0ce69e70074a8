"""The same tasks on a real local Dask cluster of two worker processes, one of which is killed midway."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from convert_making import make, same_files, when_a_worker_shows
from processes import ROOT, running, wait_until

from benchmarks.instruments.ports import free_port
from convert.errors import UserError
from convert.job.dask_cluster import _check_workers, look_around

pytest.importorskip("distributed")


@pytest.fixture
def cluster(tmp_path) -> Iterator[str]:
    """Address of a scheduler with two worker processes of one thread each."""
    told = tmp_path / "scheduler.json"
    scheduler = ["dask_scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--scheduler-file", told]
    worker = ["dask_worker", "--scheduler-file", told, "--nthreads", 1, "--no-dashboard", "--no-nanny"]
    from distributed import Client  # pyright: ignore[reportMissingImports]

    with ExitStack() as stack:
        for module, *options in (scheduler, worker, worker):
            command = [sys.executable, "-m", f"distributed.cli.{module}", *options]
            stack.enter_context(running(command, tmp_path, PYTHONPATH=os.pathsep.join([str(ROOT), *sys.path])))
        wait_until(lambda: address_in(told), "the scheduler tells its address")
        with Client(address_in(told), timeout=60, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=120)
        yield address_in(told).replace("tcp://", "dask://")


def address_in(told: Path) -> str:
    """The scheduler's address, empty while the file is not written."""
    try:
        return json.loads(told.read_text())["address"]
    except (OSError, ValueError):
        return ""


def test_a_cluster_makes_the_same_bytes_although_a_worker_is_killed(tree, tmp_path, cluster):
    killed = []

    def kill(pid, shard):
        killed.append(pid)
        os.kill(pid, signal.SIGKILL)

    with when_a_worker_shows(kill):
        output = make(tree, tmp_path / "out", shard_rows=8, executor=cluster)
    assert len(killed) == 1
    assert same_files(output, make(tree, tmp_path / "local", shard_rows=8))


@pytest.mark.parametrize(
    ("seen", "message"),
    [({}, "has no workers"), ({"tcp://elsewhere": {"source": False}}, "tcp://elsewhere differs in source")],
)
def test_workers_that_are_missing_or_see_other_files_are_refused(tree, tmp_path, seen, message):
    class Client:
        def run(self, *_):
            return seen

    with pytest.raises(UserError, match=message):
        _check_workers(Client(), "dask://somewhere:1", tree, tmp_path)


def test_a_worker_on_another_platform_is_refused(tree, tmp_path, monkeypatch):
    """Its OpenCV rounds otherwise: a grey level here and there."""
    with monkeypatch.context() as patch:
        patch.setattr("platform.machine", lambda: "aarch64")
        seen = look_around(tree, tmp_path)

    class Client:
        def run(self, *_):
            return {"tcp://arm": seen}

    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(UserError, match=r"tcp://arm differs in versions .*aarch64"):
        _check_workers(Client(), "dask://somewhere:1", tree, tmp_path)


def test_no_scheduler_is_said(tree, tmp_path, monkeypatch):
    monkeypatch.setattr("convert.job.dask_cluster._CONNECT_SECONDS", 1)
    with pytest.raises(UserError, match="no Dask scheduler answers"):
        make(tree, tmp_path / "out", executor=f"dask://127.0.0.1:{free_port()}")
