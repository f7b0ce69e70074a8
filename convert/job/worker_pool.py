"""The processes that make shards: how they start, how they end with their parent, who died."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from convert.errors import UserError
from convert.processors import require_shared_memory

T = TypeVar("T")
TasksInProgress = Callable[[], Mapping[int, str]]
"""Tells what each process, by its id, is making; asked when one has died."""

_UNKNOWN_END = 255
"""Exit status that multiprocessing reports when the fork server could not tell it the true one."""
START_METHOD = "forkserver"
PRELOAD_FOR_SHARDS = (
    "numpy",
    "cv2",
    "pyarrow.parquet",
    "PIL.Image",
    "simplejpeg",
    "mindspore.mindrecord",
    "convert.job.shard",
    "convert.job.loaded_kernels",
)


@contextmanager
def process_pool(
    workers: int, preload: Sequence[str], advice: str, tasks_in_progress: TasksInProgress = dict
) -> Iterator[Executor]:
    """Worker processes on this machine; they are gone when the block ends, whatever ends it.

    They are forked from a server that has imported `preload` once (MindSpore takes 3 s), never from this process, whose
    threads a fork would not survive.

    Args:
        workers: how many processes.
        preload: names of modules.
        advice: what to do when one has died; the end of the sentence about it.
        tasks_in_progress: what the processes are making, where that can be told.

    Raises:
        UserError: a worker process has died.
    """
    require_shared_memory()
    context = multiprocessing.get_context(START_METHOD)
    context.set_forkserver_preload(list(preload))
    others = set(multiprocessing.active_children())
    executor = _WatchedPool(workers, mp_context=context, initializer=_begin_worker)
    try:
        yield executor
    except BrokenExecutor as error:
        raise UserError(explain_deaths(executor.first_deaths(), tasks_in_progress(), advice)) from error
    finally:
        # killed, not asked: one may wait for a lock that died with another, and what they do is done or redone by the next run
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
        executor.shutdown(wait=True, cancel_futures=True)


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_freed_memory()
    import cv2

    cv2.setNumThreads(1)  # one process per core already


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
    os._exit(1)


@dataclass(frozen=True)
class Timed(Generic[T]):
    """A result, and what it cost the process that made it."""

    result: T
    cpu_s: float
    """CPU time, seconds, user and system, all threads."""
    wall_s: float
    """Time on the clock, seconds."""
    peak_bytes: int
    """The most memory that the process has ever held, with the libraries that it shares."""


def timed(function: Callable[..., T], *arguments: object) -> Timed[T]:
    """Call `function`; to be submitted to an executor, whose processes are not children of this one.

    (They are children of the fork server, so that `resource.RUSAGE_CHILDREN` and `time` do not see them.)
    """
    wall_start, cpu_start = time.monotonic(), time.process_time()
    result = function(*arguments)
    cpu_s, wall_s = time.process_time() - cpu_start, time.monotonic() - wall_start
    return Timed(
        result, cpu_s, wall_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )  # Linux counts in KiB


class _WatchedPool(ProcessPoolExecutor):
    """Remembers its processes, so that their deaths can be told: broken, an executor forgets them."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._seen: dict[int, BaseProcess] = {}

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """As any executor's; processes are started here and nowhere else."""
        future = super().submit(fn, *args, **kwargs)
        self._seen |= {process.pid: process for process in multiprocessing.active_children() if process.pid}
        return future

    def first_deaths(self) -> dict[int, str]:
        """Process id and manner of death of those that died first.

        When one dies the executor ends the others by SIGTERM, so any other end marks a culprit.
        """
        codes = {pid: process.exitcode for pid, process in self._seen.items()}
        died = {pid: code for pid, code in codes.items() if code not in (None, 0)}
        first = {pid: code for pid, code in died.items() if code != -signal.SIGTERM} or died
        return {pid: _cause_of_death(code) for pid, code in first.items() if code is not None}


def explain_deaths(first_deaths: Mapping[int, str], tasks_in_progress: Mapping[int, str], advice: str) -> str:
    """One sentence about worker processes that died: what they made, how they died, what to do.

    Args:
        first_deaths: manner of death by process id, as far as the system tells.
        tasks_in_progress: what was being made, by process id.
        advice: what to do.
    """
    deaths = [
        f"the worker process {pid} that made {tasks_in_progress[pid]} {manner}"
        if pid in tasks_in_progress
        else f"the worker process {pid} {manner}"
        for pid, manner in first_deaths.items()
    ]
    # where the system does not tell who it was, it was one of those at work
    during = f" while making {' or '.join(sorted(tasks_in_progress.values()))}" if tasks_in_progress else ""
    return f"{' and '.join(deaths) or f'a worker process died{during}'}; was memory or disk space short? {advice}"


def _cause_of_death(code: int) -> str:
    if code == _UNKNOWN_END:
        return "was killed"
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


_RETAINED_BYTES = 64 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's mallopt(3)."""


def keep_freed_memory() -> None:
    """Have this process keep up to 64 MB that it frees instead of giving it back to the system at once.

    Payloads are just above the 128 KiB from which glibc maps fresh, zeroed pages for every allocation: without this a
    quarter of the time of a conversion that decodes nothing goes into page faults. Does nothing where there is no glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _RETAINED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _RETAINED_BYTES)
