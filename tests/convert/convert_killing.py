"""Run as a program: convert a split again and again, killed at random moments, until it has been killed often enough.

    python convert_killing.py SPLIT FOLDER KILLS SEED

MindSpore and numba are loaded once; every attempt is a fork that starts its own workers, so that an attempt costs tenths
of a second. The moments are drawn from the time that a whole conversion takes here. Each conversion that becomes
whole is one more folder in FOLDER; the first is never killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from processes import living, wait_until


def main(split: str, folder: str, kills: str, seed: str) -> None:
    import mindspore.mindrecord  # noqa: F401

    import convert.job.loaded_kernels  # noqa: F401
    from convert.job import worker_pool
    from convert.run import RunOptions, run

    worker_pool.START_METHOD = "fork"
    generator = np.random.default_rng(int(seed))
    left = int(kills)

    def attempt(output: Path, victim_at_s: float | None) -> int:
        """Convert in a process of its own, kill it or one of its workers at a time; returns its status."""
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            os._exit(run(RunOptions(Path(split), output, shard_rows=4, workers=2)))
        victim = child
        if victim_at_s is not None:
            time.sleep(victim_at_s)
            if generator.random() < 0.4:  # a worker instead of the parent
                victim = int(generator.choice([p.pid for p in living() if p.parent == child] or [child]))
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status == 0 or victim == child or not (output / "manifest.json").exists()
        wait_until(lambda: not [p for p in living() if p.group == child], f"the workers of {child} are gone")
        return status

    whole_s = float("inf")
    number = 0
    while left or number == 0:
        output = Path(folder) / str(number)
        killed_before = left
        start = time.monotonic()
        while attempt(output, generator.exponential(whole_s / 2) if number and left else None):
            assert number, "the first conversion, which nobody kills, failed"
            left -= 1
        if left == killed_before:  # nothing went on with another's work
            whole_s = min(whole_s, time.monotonic() - start)
        number += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
