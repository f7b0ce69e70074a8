"""`python -m convert doctor` and `run --dry-run`: what a conversion would take, and what stands in its way."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

from convert import pool, staging
from convert.classes import load_imagenet1k
from convert.errors import UserError
from convert.estimate import estimate
from convert.options import RunOptions
from convert.prepare import Conversion, prepare, versions_used
from convert.sources.base import OPEN_FILES_MAX

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
    print(
        f"source: {listing.num_rows:,} images of {len(listing.column('wnid').unique()):,} classes, readable, labels in order"
    )
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
    if options.workers > pool.usable_cpus():
        problems.append(
            f"{options.workers} workers for {pool.usable_cpus()} usable CPUs: say --workers {pool.usable_cpus()}"
        )
    available = _available_memory_bytes()
    if available is not None and options.workers * WORKER_BYTES > available:
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


def _available_memory_bytes() -> int | None:
    """Memory that can be had without swapping, where the system tells."""
    path = Path("/proc/meminfo")
    if not path.is_file():
        return None
    fields = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    return int(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else None
