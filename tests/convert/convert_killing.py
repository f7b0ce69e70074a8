"""Run as a program: convert a split again and again, each time killed at another moment, until it is whole.

    python convert_killing.py SPLIT OUT KILLS SEED

MindSpore is imported once; every attempt is a fork that starts its own workers, so that an attempt costs tenths
of a second. Prints how many attempts were killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np


def main(split: str, output: str, kills: str, seed: str) -> None:
    import mindspore.mindrecord  # noqa: F401

    from convert import pool
    from convert.run import RunOptions, run

    pool.START_METHOD = "fork"
    options = RunOptions(Path(split), Path(output), shard_rows=4, workers=2)
    generator = np.random.default_rng(int(seed))
    killed = 0
    while killed < int(kills):
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            os._exit(run(options))
        time.sleep(generator.exponential(0.1))
        victims = [child]
        if generator.random() < 0.4:  # a worker instead of the parent
            victims = children_of(child) or victims
        victim = int(generator.choice(victims))
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            break
        assert not (Path(output) / "manifest.json").exists() or victim == child
        killed += 1
        wait_for_orphans(child)
    status = run(options)
    print(killed)
    sys.exit(status)


def children_of(process: int) -> list[int]:
    path = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def wait_for_orphans(group: int) -> None:
    """Workers must end with their parent; fails when they still live after ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.005)
    raise TimeoutError(f"workers of {group} outlived it")


if __name__ == "__main__":
    main(*sys.argv[1:])
