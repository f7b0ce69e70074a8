"""What a whole conversion would take in time and space, from converting a few images of it.

Two samples of different size are timed with all workers at once, so that what a shard costs in any case (its files,
their syncs) can be told from what an image costs: t = shard + images * image.
"""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

from convert import pool, work
from convert.errors import UserError
from convert.manifest import STAGING_NAME
from convert.plan import ShardPlan
from convert.prepare import Conversion
from convert.record import read_record

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
    with pool.process_pool(workers, pool.PRELOAD_FOR_SHARDS, "Say fewer --workers") as executor:
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
        futures = [executor.submit(pool.timed, work.convert_shard, task) for task in tasks]
        wall_s = max(future.result().wall_s for future in futures)
        records = [read_record(output, worker) for worker in range(workers)]
    stored = sum(sum(record.index_rows.column("length").to_pylist()) for record in records if record is not None)
    return _Sample(images, wall_s, stored)
