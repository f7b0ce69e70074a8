"""The launcher with two real ranks: one is killed, or all are told to stop."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import Program, wait_until
from train_making import endless_launch

from tinydarknet.device import EXIT_TERMINATED
from tinydarknet.launch import RANK_VARIABLE, WORKER_ROLE, LaunchOptions, _children
from tinydarknet.model import checkpoint
from tinydarknet.run_folder.paths import RunFolder

pytestmark = pytest.mark.usefixtures("short_network")


@contextmanager
def launched(planes_data: Path, tmp_path: Path) -> Iterator[Program]:
    """An endless run on two ranks that has done its first epoch."""
    with endless_launch(planes_data, tmp_path) as program:
        program.wait_for("epoch: 1 step:")
        yield program


def workers(launcher: Program) -> dict[int, int]:
    """Rank to process number."""
    (msrun,) = (process.pid for process in launcher.family() if process.parent == launcher.process.pid)
    return {int(environment[RANK_VARIABLE]): pid for pid, environment in _children(msrun, WORKER_ROLE)}


def test_a_dead_rank_ends_the_run(planes_data, tmp_path):
    with launched(planes_data, tmp_path) as launcher:
        ranks = workers(launcher)
        assert ranks.keys() == {0, 1}
        os.kill(ranks[1], signal.SIGKILL)
        done = launcher.finish()
        wait_until(lambda: not {process.pid for process in launcher.family()} & {*ranks.values()}, "all ranks are gone")
    assert done.returncode == 128 + signal.SIGKILL
    assert "error: rank 1 ended with status -9" in done.stderr
    assert "Traceback" not in done.stdout
    assert "RuntimeError" not in done.stdout
    # msrun would wait half a minute for the scheduler to miss the ranks
    assert "timed out node" not in done.stdout


def test_sigterm_reaches_all_ranks_and_saves(planes_data, tmp_path):
    with launched(planes_data, tmp_path) as launcher:
        launcher.process.send_signal(signal.SIGTERM)
        done = launcher.finish()
    assert done.returncode == EXIT_TERMINATED, done.stderr
    assert "error: " not in done.stderr
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
