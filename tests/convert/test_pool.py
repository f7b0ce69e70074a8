"""Worker processes are gone when their pool is, whatever state they are in; of those that died it is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from convert.errors import UserError
from convert.job.dask_cluster import dask_executor
from convert.job.worker_pool import explain_deaths, process_pool

ROOT = Path(__file__).parents[2]

PROGRAM = """
import os, signal
from convert.job.worker_pool import process_pool

if __name__ == "__main__":
    with process_pool(1, (), "") as executor:
        worker = executor.submit(os.getpid).result()
        os.kill(worker, signal.SIGSTOP)
    try:
        os.kill(worker, 0)
    except ProcessLookupError:
        print("gone")
"""


def test_a_worker_that_answers_nobody_ends_with_its_pool(tmp_path):
    """As one does that waits for a lock which another worker held when it was killed."""
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "gone\n", done.stderr


def test_a_broken_pool_is_told_in_one_sentence():
    worker = 0

    def kill_a_worker():
        nonlocal worker
        with process_pool(2, (), "Go on.", lambda: {worker: "shard 7"}) as executor:
            worker = executor.submit(os.getpid).result()
            executor.submit(os.kill, worker, signal.SIGKILL).result()

    with pytest.raises(UserError, match=r"that made shard 7 was killed.*; was memory .* Go on\.$") as caught:
        kill_a_worker()
    assert str(caught.value).startswith(f"the worker process {worker} ")


def test_where_the_system_does_not_tell_who_died_it_was_one_of_those_at_work():
    assert explain_deaths({}, {4: "b", 3: "a"}, "Go on.").startswith("a worker process died while making a or b;")
    assert explain_deaths({}, {}, "Go on.").startswith("a worker process died; was")


def test_a_task_that_a_cluster_gives_up_is_told_in_the_same_words(tmp_path):
    """Because it kills every worker that tries."""
    distributed = pytest.importorskip("distributed")
    dask = pytest.importorskip("dask")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        pytest.raises(UserError, match=r"gave up: a worker process died while making shard 7; .* Go on"),
        dask_executor(
            cluster.scheduler_address.replace("tcp", "dask"), tmp_path, tmp_path, "Go on.", lambda: {1: "shard 7"}
        ) as executor,
    ):
        executor.submit(signal.raise_signal, signal.SIGKILL).result()
