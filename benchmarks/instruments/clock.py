"""The one clock of every measurement: time of a process with its children. The peers' environments run it too."""

from __future__ import annotations

import contextlib
import resource
import time

import psutil


def cpu_seconds() -> float:
    """CPU time so far of this process, of its children that have ended, and of those still at work."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + ended.ru_utime + ended.ru_stime
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            total += sum(child.cpu_times()[:4])  # its own, and of its children that have ended
    return total


def wall_seconds_since_start() -> float:
    """How long this process has been running."""
    return time.time() - psutil.Process().create_time()
