"""The same tasks on a real local Dask cluster of two worker processes, one of which is killed midway."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from convert_making import make, same_files
from test_crashes import when_a_worker_shows

from convert.cluster import _check_workers
from convert.errors import UserError

pytest.importorskip("distributed")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cluster(tmp_path):
    """Address of a scheduler with two worker processes of one thread each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    scheduler_file = tmp_path / "scheduler.json"
    base = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    started = [
        subprocess.Popen(
            [
                *base,
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
                "--no-dashboard",
                "--scheduler-file",
                str(scheduler_file),
            ],
            env=environment,
            cwd=tmp_path,
        )
    ]
    worker = [
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        f"tcp://127.0.0.1:{port}",
        "--nthreads",
        "1",
        "--no-dashboard",
        "--no-nanny",
    ]
    started += [subprocess.Popen(worker, env=environment, cwd=tmp_path) for _ in range(2)]
    from distributed import Client  # pyright: ignore[reportMissingImports]

    with Client(f"tcp://127.0.0.1:{port}", timeout=30, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    yield f"dask://127.0.0.1:{port}"
    for process in started:
        process.terminate()
        process.wait()


def test_a_cluster_makes_the_same_bytes_although_a_worker_is_killed(tree, tmp_path, cluster):
    killed = []

    def kill(pid, shard):
        killed.append(pid)
        os.kill(pid, signal.SIGKILL)

    watcher = when_a_worker_shows(tmp_path / "out", kill)
    output = make(tree, tmp_path / "out", shard_rows=8, executor=cluster)
    watcher.join()
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


def test_no_scheduler_is_said(tree, tmp_path, monkeypatch):
    monkeypatch.setattr("convert.cluster._CONNECT_SECONDS", 1)
    with pytest.raises(UserError, match="no Dask scheduler answers"):
        make(tree, tmp_path / "out", executor="dask://127.0.0.1:9")
