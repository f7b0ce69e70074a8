"""The tasks of a conversion, handed to processes: progress, deaths, and stopping on a signal."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, Executor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pyarrow as pa
from tqdm import tqdm

from convert.dataset import mindrecord
from convert.dataset.index import INDEX_SCHEMA, logical_digest, write_index
from convert.dataset.manifest import ClassEntry, Manifest, write_manifest
from convert.errors import UserError
from convert.job import shard, staging, worker_pool
from convert.job.options import LOCAL, RunOptions
from convert.job.plan import prepare, versions_used
from convert.job.staging import read_record, record_path, states
from convert.signals import handled, stopping

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


def make_shards(tasks: list[shard.ShardTask], options: RunOptions, rows: int, rows_done: int, bad: int) -> Cost:
    """Have the tasks done; returns what that took."""
    cost = Cost()
    if not tasks:
        return cost
    with (
        _executor(options, tasks) as executor,
        tqdm(total=rows, initial=rows_done, unit="images", smoothing=0.05, mininterval=1.0, disable=None) as bar,
    ):
        pending = {executor.submit(worker_pool.timed, shard.convert_shard, task): task for task in tasks}
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


def _executor(options: RunOptions, tasks: list[shard.ShardTask]) -> AbstractContextManager[Executor]:
    names = {task.index: task.name for task in tasks}

    def tasks_in_progress() -> dict[int, str]:
        return {state["pid"]: names[state["shard"]] for state in states(tasks[0].output) if state["shard"] in names}

    if options.executor == LOCAL:
        workers = min(options.workers, len(tasks))
        return worker_pool.process_pool(workers, worker_pool.PRELOAD_FOR_SHARDS, _GO_ON, tasks_in_progress)
    from convert.job.dask_cluster import dask_executor

    return dask_executor(
        options.executor, options.source.absolute(), options.output.absolute(), _GO_ON, tasks_in_progress
    )


def stoppable() -> AbstractContextManager[None]:
    """Turn SIGINT and SIGTERM into a StoppedError."""

    def stop(number: int, _frame: object) -> None:
        raise StoppedError(number)

    return handled(stopping(), stop)


@dataclass(frozen=True)
class ConversionResult:
    """What a conversion made, and what this run of it cost."""

    manifest: Manifest
    classes: str
    """How many have images, in words."""
    images: int
    """Images converted by this run: fewer than the manifest's rows when it went on with an earlier one's work."""
    wall_s: float
    """From the workers' start (3 s for MindSpore) to the last shard's end, seconds."""
    cost: Cost
    """What the workers spent."""


def convert_split(options: RunOptions) -> ConversionResult:
    """Convert a split, or finish an earlier conversion of it.

    Raises:
        UserError: the source, an image, the output folder or a worker process is at fault.
        StoppedError: within `stoppable`, SIGINT or SIGTERM arrived.
    """
    conversion = prepare(options)
    plans, listing = conversion.plans, conversion.listing
    for note in conversion.notes:
        print(f"note: {note}", flush=True)
    with staging.opened(options.output, conversion.fingerprint):
        records = [read_record(options.output, shard.index) for shard in plans]
        todo = [shard for shard, record in zip(plans, records, strict=True) if record is None]
        tasks = [conversion.task(shard, options.output.absolute()) for shard in todo]
        bad = sum(len(record.skipped) for record in records if record)
        done_rows = listing.num_rows - sum(len(shard.rows) for shard in todo)
        if todo and len(todo) < len(plans):
            print(f"going on: {len(plans) - len(todo)} of {len(plans)} shards are done")
        started = time.monotonic()
        try:
            cost = make_shards(tasks, options, listing.num_rows, done_rows, bad)
        except StoppedError as stopped:
            finished = sum(record_path(options.output, shard.index).is_file() for shard in plans)
            stopped.args = (
                f"stopped: {finished} of {len(plans)} shards are done; run the same command again to go on",
            )
            raise
        wall_s = time.monotonic() - started
        with staging.writing(options.output):
            manifest = _publish(options, conversion.classes, len(plans))
    return ConversionResult(manifest, conversion.counted_classes(), listing.num_rows - done_rows, wall_s, cost)


def _publish(options: RunOptions, entries: tuple[ClassEntry, ...], shard_count: int) -> Manifest:
    """Publish the index, then the manifest."""
    records = [read_record(options.output, index) for index in range(shard_count)]
    missing = [index for index, record in enumerate(records) if record is None]
    if missing:
        raise UserError(
            f"shard {missing[0]} of {options.output} disappeared during the run: run the same command again"
        )
    whole = [record for record in records if record is not None]
    index = pa.concat_tables([record.index_rows for record in whole]).cast(INDEX_SCHEMA)
    manifest = Manifest(
        split=options.split_name(),
        encoding=options.stored_as(),
        seed=options.seed,
        classes=entries,
        shards=tuple(record.entry for record in whole),
        layout=mindrecord.layout_for(options.stored_as()),
        rows=index.num_rows,
        payload_bytes=sum(index.column("length").to_pylist()),
        source_bytes=sum(index.column("source_bytes").to_pylist()),
        index_sha256=write_index(options.output, index),
        logical_digest=logical_digest(index),
        skipped=tuple(item for record in whole for item in record.skipped),
        versions=versions_used(),
    )
    write_manifest(options.output, manifest)
    return manifest
