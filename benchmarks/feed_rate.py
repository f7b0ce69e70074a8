"""How many augmented training images a feed makes, per second and per core-second; all feeds side by side in one run.

python benchmarks/feed_rate.py --data data/imagenet/train --feeds planes reference --json result.json
"""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

import contextlib
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from benchmarks.instruments.clock import cpu_seconds
from benchmarks.instruments.datasets import FEED_KINDS, MeasuredFeed, data_for_feed
from benchmarks.instruments.harness import (
    BenchmarkOptions,
    anonymous_memory_mb,
    drop_from_page_cache,
    run_benchmark,
    spread,
)
from benchmarks.instruments.training_feed import TrainingFeed
from convert.errors import UserError, require_positive, require_some

_WARMUP_BATCHES = 2
_ENDLESS_STEPS = 10**6


@dataclass(frozen=True)
class FeedRateOptions(BenchmarkOptions):
    """Measure the feeds on a dataset, in turns."""

    data: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR [DIR ...]")]
    """Datasets with the same images; an encoding that a feed needs and none has is made from the first, for the run."""
    feeds: tuple[MeasuredFeed, ...] = ("planes", "host", "host_jpeg", "reference")
    """Which feeds to measure: planes on yuv420, host, dvpp_on_cpu and reference on original, host_jpeg on jpeg."""
    batch_size: int = 128
    """Images per batch."""
    image_size: int = 224
    """Pixels, height and width of what comes out."""
    threads: int = 1
    """That make batches."""
    seconds: float = 4.0
    """Least duration of one repeat of one feed."""
    repeats: int = 3
    """Turns; the medians count."""
    rows: int = 2000
    """Images that are converted, about, for a feed that has no dataset of its own."""
    page_cache: Literal["warm", "cold"] = "warm"
    """cold: drop the dataset's files from the page cache before each turn, which then ends with the epoch."""

    def __post_init__(self) -> None:
        require_some(self, "data", "feeds")
        require_positive(self, "batch_size", "image_size", "threads", "repeats", "seconds", "rows")


@dataclass(frozen=True)
class Repeat:
    """One feed's turn."""

    images_per_s: float
    images_per_core_s: float
    batches: int
    anonymous_mb: float
    """Memory at the end, without the mapped shards."""
    anonymous_mb_growth: float
    """Since the turn's first batch."""


def measure_feeds(options: FeedRateOptions) -> list[dict[str, Any]]:
    """Run all feeds in turns; one result per feed, with its ratio to the reference feed if that was measured too."""
    with tempfile.TemporaryDirectory() as folder:
        data = {feed: data_for_feed(feed, options.data, Path(folder), options.rows) for feed in options.feeds}
        turns = [
            {feed: take_turn(options, feed, data[feed].directory) for feed in options.feeds}
            for _ in range(options.repeats)
        ]
        return [
            {
                "benchmark": "feed_rate",
                "feed": feed,
                **spread("images_per_core_s", [turn[feed].images_per_core_s for turn in turns]),
                **spread("images_per_s", [turn[feed].images_per_s for turn in turns]),
                **_against_reference(feed, turns),
                "anonymous_mb": max(turn[feed].anonymous_mb for turn in turns),
                "anonymous_mb_growth": max(turn[feed].anonymous_mb_growth for turn in turns),
                "batches": sum(turn[feed].batches for turn in turns),
                "repeats": options.repeats,
                "threads": options.threads,
                "batch_size": options.batch_size,
                "image_size": options.image_size,
                "page_cache": options.page_cache,
                **_describe(data[feed].directory),
                "images": data[feed].images,
            }
            for feed in options.feeds
        ]


def _against_reference(feed: str, turns: list[dict[str, Repeat]]) -> dict[str, float]:
    """Ratios of images per core-second, turn by turn, so that a machine that changes speed does not matter."""
    if feed == "reference" or "reference" not in turns[0]:
        return {}
    ratios = [turn[feed].images_per_core_s / turn["reference"].images_per_core_s for turn in turns]
    return {"times_reference": statistics.median(ratios), "times_reference_min": min(ratios)}


def _describe(directory: Path) -> dict[str, Any]:
    from convert.dataset.manifest import load_manifest

    manifest = load_manifest(directory)
    return {
        "rows": manifest.rows,
        "stored_bytes_per_image": round(manifest.payload_bytes / manifest.rows),
        "encoding": manifest.encoding.name,
        "short_side": manifest.encoding.short_side,
    }


def take_turn(
    options: FeedRateOptions, feed: MeasuredFeed, directory: Path, rank: int = 0, world_size: int = 1
) -> Repeat:
    """Take one rank's batches for `seconds`, after a warm-up, checking that they are what they should be."""
    cold = options.page_cache == "cold"
    if cold:
        drop_from_page_cache(directory)
    kind = FEED_KINDS[feed]
    opening = TrainingFeed(
        directory, kind.encoding, kind.feed, options.batch_size, options.image_size, options.threads,
        rank, world_size,
    )  # fmt: skip
    opened = opening.open(_rows(directory) // options.batch_size if cold else _ENDLESS_STEPS)
    with contextlib.closing(opened.reused()) as batches:
        for _ in range(0 if cold else _WARMUP_BATCHES):
            next(batches)
        anonymous_mb = anonymous_memory_mb()
        images = 0
        seen: set[int] = set()
        wall_start, cpu_start = time.perf_counter(), cpu_seconds()
        for batch in batches:
            _check_shape(options, feed, batch)
            images += len(batch["id"])
            seen.add(hash(batch["id"].tobytes()))
            if not cold and time.perf_counter() - wall_start >= options.seconds:
                break
        wall_s, cpu_s = time.perf_counter() - wall_start, cpu_seconds() - cpu_start
    if len(seen) * options.batch_size < images:
        raise UserError(f"the {feed} feed repeated a batch of ids")
    memory_mb = anonymous_memory_mb()
    return Repeat(images / wall_s, images / cpu_s, images // options.batch_size, memory_mb, memory_mb - anonymous_mb)


def _check_shape(options: FeedRateOptions, feed: str, batch: dict[str, Any]) -> None:
    pixels = batch["y" if "y" in batch else "image"]
    if len(pixels) != options.batch_size or pixels.shape[-2:] != (options.image_size, options.image_size):
        raise UserError(f"the {feed} feed gave batches of shape {pixels.shape}")


def _rows(directory: Path) -> int:
    from convert.dataset.manifest import load_manifest

    return load_manifest(directory).rows


def main() -> None:
    """Measure and print."""
    run_benchmark("feed_rate.py", FeedRateOptions, measure_feeds)


if __name__ == "__main__":
    main()
