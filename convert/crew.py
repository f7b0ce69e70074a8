"""The tasks of a conversion, handed to processes: progress, deaths, and stopping on a signal."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from tqdm import tqdm

from convert import pool, work
from convert.errors import UserError
from convert.options import LOCAL, RunOptions
from convert.progress import states

_POLL_SECONDS = 0.5
_GO_ON = "All finished shards are kept: run the same command again to go on"


class StoppedError(Exception):
    """SIGINT or SIGTERM ended a conversion; the finished shards are kept."""

    def __init__(self, signal_number: int) -> None:
        super().__init__("stopped; run the same command again to go on")
        self.signal_number = signal_number


@dataclass(frozen=True)
class Cost:
    """What the workers spent on a conversion, without their start."""

    cpu_s: float = 0.0
    """CPU time, seconds."""
    busy_s: float = 0.0
    """Time on the clock of all workers together, seconds."""
    worker_bytes: int = 0
    """The most memory that one of them held."""


def make_shards(tasks: list[work.ShardTask], options: RunOptions, rows: int, rows_done: int, bad: int) -> Cost:
    """Have the tasks done; returns what that took."""
    cost = Cost()
    if not tasks:
        return cost
    with (
        _executor(options, tasks) as executor,
        tqdm(total=rows, initial=rows_done, unit="images", smoothing=0.05, mininterval=1.0, disable=None) as bar,
    ):
        pending = {executor.submit(pool.timed, work.convert_shard, task): task for task in tasks}
        while pending:
            finished, _ = wait(pending, _POLL_SECONDS, FIRST_COMPLETED)
            for future in finished:
                task = pending.pop(future)
                done = future.result()
                cost = Cost(cost.cpu_s + done.cpu_s, cost.busy_s + done.wall_s, max(cost.worker_bytes, done.peak_bytes))
                rows_done += task.items.num_rows
                bad += done.result
            if bad > options.max_bad:
                raise UserError(
                    f"{bad} images cannot be converted, more than --max-bad {options.max_bad}: is the source damaged? "
                    "Otherwise run again with a larger --max-bad"
                )
            bar.n = rows_done + sum(state["images"] for state in states(tasks[0].output))
            bar.refresh()
    return cost


def _executor(options: RunOptions, tasks: list[work.ShardTask]) -> AbstractContextManager[Executor]:
    names = {task.index: task.name for task in tasks}

    def at_work() -> dict[int, str]:
        return {state["pid"]: names[state["shard"]] for state in states(tasks[0].output) if state["shard"] in names}

    if options.executor == LOCAL:
        workers = min(options.workers, len(tasks))
        return pool.process_pool(workers, pool.PRELOAD_FOR_SHARDS, _GO_ON, at_work)
    from convert.cluster import dask_executor

    return dask_executor(options.executor, options.source.absolute(), options.output.absolute(), _GO_ON, at_work)


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into a StoppedError."""

    def stop(number: int, frame: object) -> None:
        del frame
        raise StoppedError(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
