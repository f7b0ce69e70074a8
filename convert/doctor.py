"""`python -m convert doctor` and `run --dry-run`: what a conversion would take, and what stands in its way."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
import time
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from convert import processors
from convert.dataset.classes import load_imagenet1k
from convert.dataset.manifest import STAGING_NAME
from convert.errors import UserError
from convert.job import shard, staging, worker_pool
from convert.job.options import RunOptions
from convert.job.plan import Conversion, ShardPlan, prepare, versions_used
from convert.job.staging import read_record
from convert.sources.base import OPEN_FILES_MAX

WARM_UP_IMAGES = 8
"""Images that each worker converts before anything is timed: the first ones take longer, and are not shards' cost."""
FIRST_IMAGES = 48
"""Images of each worker's first sample."""
SECOND_SECONDS = 2.0
"""About how long the second sample takes; at most one shard per worker."""

_PREFIX = ".convert-doctor-"


@dataclass(frozen=True)
class Estimate:
    """What the whole conversion would take."""

    start_s: float
    """Until the workers have loaded their libraries."""
    images_per_s: float
    """With all workers at once, once they have started."""
    seconds: float
    """From the start of the workers to the end."""
    output_bytes: int


@dataclass(frozen=True)
class _Sample:
    images: int
    """Per worker."""
    wall_s: float
    """Of the slowest worker."""
    stored_bytes: int
    """Payloads of all workers together."""


def estimate(conversion: Conversion, home: Path) -> Estimate:
    """Convert samples into a folder inside `home`, which is removed again.

    Raises:
        UserError: a sampled image cannot be converted, nothing can be written into `home`, or a worker process has died.
    """
    plans = conversion.plans
    workers = min(conversion.options.workers, len(plans))
    shard_images = max(len(plan.rows) for plan in plans)
    started = time.monotonic()
    _check_writable(home)
    with worker_pool.process_pool(workers, worker_pool.PRELOAD_FOR_SHARDS, "Say fewer --workers") as executor:
        executor.submit(int).result()
        start_s = time.monotonic() - started
        _convert(conversion, executor, home, workers, min(WARM_UP_IMAGES, shard_images))
        first = _convert(conversion, executor, home, workers, min(FIRST_IMAGES, shard_images))
        wanted = int(first.images * SECOND_SECONDS / first.wall_s)
        second = _convert(conversion, executor, home, workers, min(max(wanted, 2 * FIRST_IMAGES), shard_images))
    image_s = second.wall_s / second.images
    shard_s = 0.0
    if second.images > first.images and second.wall_s > first.wall_s:
        image_s = (second.wall_s - first.wall_s) / (second.images - first.images)
        shard_s = max(0.0, first.wall_s - first.images * image_s)
    rounds = -(-len(plans) // workers)
    work_s = rounds * (shard_s + shard_images * image_s)
    total = conversion.listing.num_rows
    per_image = second.stored_bytes / (workers * second.images)
    pages = len(plans) * conversion.task(plans[0], home).layout.page_bytes
    return Estimate(start_s, total / work_s, start_s + work_s, int(total * per_image) + pages)


def _check_writable(home: Path) -> None:
    try:
        tempfile.TemporaryDirectory(prefix=_PREFIX, dir=home).cleanup()
    except OSError as error:
        raise UserError(f"nothing can be written into {home} ({error.strerror}): name a folder elsewhere") from error


def _convert(conversion: Conversion, executor: Executor, home: Path, workers: int, images: int) -> _Sample:
    """Have each worker convert the first images of a shard of its own."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=home) as folder:
        output = Path(folder)
        (output / STAGING_NAME).mkdir()
        tasks = [
            replace(conversion.task(ShardPlan(worker, 0, plan.rows[:images]), output), name=f"sample{worker}")
            for worker, plan in enumerate(conversion.plans[:workers])
        ]
        futures = [executor.submit(worker_pool.timed, shard.convert_shard, task) for task in tasks]
        wall_s = max(future.result().wall_s for future in futures)
        records = [read_record(output, worker) for worker in range(workers)]
    stored = sum(sum(record.index_rows.column("length").to_pylist()) for record in records if record is not None)
    return _Sample(images, wall_s, stored)


WORKER_BYTES = 300_000_000
"""More than a worker was seen to take (benchmarks/convert_rate.py)."""
_OTHER_FILES = 64
"""Libraries, logs, pipes and the like."""
_PIPES_PER_WORKER = 4
_MIND_DATASET_WORKERS = 8
"""MindDataset's default: it opens every shard once per worker and once more."""


def doctor(options: RunOptions) -> int:
    """Print findings, each problem with its mend; returns 1 if there are problems."""
    problems: list[str] = []
    print(f"versions: {', '.join(f'{name} {version}' for name, version in versions_used().items())}")
    conversion = prepare(options)  # refuses what is wrong with the source and its labels
    listing, plans = conversion.listing, conversion.plans
    print(f"source: {listing.num_rows:,} images of {conversion.counted_classes()}, readable, labels in order")
    for note in conversion.notes:
        print(f"note: {note}")
    print(
        f"plan: {len(plans)} shards of at most {max(len(plan.rows) for plan in plans):,} images, {options.workers} workers"
    )
    problems += [*_output_problems(options), *_machine_problems(options, len(plans)), *_label_problems(conversion)]
    home = _existing(options.output)
    try:
        taken = estimate(conversion, home)
    except UserError as error:
        problems.append(str(error))
    else:
        print(
            f"estimate: {taken.seconds:,.1f} s ({taken.start_s:.1f} s until the workers have started, then "
            f"{taken.images_per_s:,.0f} images/s), {taken.output_bytes / 1e9:,.3f} GB of output"
        )
        free = shutil.disk_usage(home).free
        print(f"disk: {free / 1e9:,.1f} GB free in {home}")
        if free < taken.output_bytes:
            problems.append(
                f"the output needs {taken.output_bytes / 1e9:,.1f} GB, {home} has {free / 1e9:,.1f} GB free: "
                "make room, name another folder, or store less with --short-side or --encoding jpeg"
            )
    for problem in problems:
        print(f"problem: {problem}")
    counted = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    print(counted if problems else "nothing stands in the way")
    return 1 if problems else 0


def _output_problems(options: RunOptions) -> list[str]:
    try:
        if staging.is_finished(options.output):
            return [f"{options.output} holds a dataset already: name another folder"]
        staging.check_output(options.output)
    except UserError as error:
        return [str(error)]
    return []


def _machine_problems(options: RunOptions, shard_count: int) -> list[str]:
    problems = []
    if options.workers > processors.usable_processors():
        problems.append(
            f"{options.workers} workers for {processors.usable_processors()} usable processors: say --workers {processors.usable_processors()}"
        )
    available = psutil.virtual_memory().available
    if options.workers * WORKER_BYTES > available:
        fitting = max(1, available // WORKER_BYTES)
        problems.append(
            f"{options.workers} workers may take {options.workers * 0.3:.1f} GB, {available / 1e9:.1f} GB are free: say --workers {fitting}"
        )
    return [*problems, *_open_file_problems(options.workers, shard_count)]


def _open_file_problems(workers: int, shard_count: int) -> list[str]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    mind_dataset = shard_count * (_MIND_DATASET_WORKERS + 1) + _OTHER_FILES
    print(
        f"open files: the limit is {soft:,}; training opens each of the {shard_count} shards once, "
        f"MindDataset with {_MIND_DATASET_WORKERS} workers would need {mind_dataset:,}"
    )
    needed = max(shard_count, workers * _PIPES_PER_WORKER, OPEN_FILES_MAX) + _OTHER_FILES
    if soft < needed:
        return [
            f"converting and training need up to {needed:,} open files, the limit is {soft:,}: say 'ulimit -n {needed}'"
        ]
    return []


def _label_problems(conversion: Conversion) -> list[str]:
    known = {entry.wnid for entry in load_imagenet1k()}
    found = {entry.wnid for entry in conversion.classes}
    if found < known and conversion.options.classes == "auto":
        return [
            f"the source has {len(found)} of ImageNet's 1,000 classes, so that labels run from 0 to {len(found) - 1}: "
            "say --classes imagenet1k to keep ImageNet's labels, or the same --classes FILE.tsv for all splits"
        ]
    return []


def _existing(path: Path) -> Path:
    """The folder itself, or the closest one above it that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if os.path.isdir(folder))  # noqa: PTH112
