"""How many augmented training images a feed makes, per second and per core-second; all feeds side by side in one run.

python benchmarks/feed_rate.py --data data/imagenet/train --feeds planes reference --json result.json
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmarks.harness import cpu_seconds, emit
from convert.cli import Command, main_single
from convert.errors import UserError
from tinydarknet.feed.opening import FeedName

_WARMUP_BATCHES = 2


@dataclass(frozen=True)
class FeedRateOptions:
    """Measure the feeds on a dataset, in turns."""

    data: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR [DIR ...]")]
    """Datasets with the same images; an encoding that a feed needs and none has is made from the first, for the run."""
    feeds: tuple[FeedName, ...] = ("planes", "host", "reference")
    """Which feeds to measure."""
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
    json: Path | None = None
    """Write the JSON lines here too."""

    def __post_init__(self) -> None:
        for name in ("data", "feeds"):
            if not getattr(self, name):
                raise ValueError(f"{name} needs at least one value")
        for name in ("batch_size", "image_size", "threads", "repeats", "seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


@dataclass(frozen=True)
class Repeat:
    """One feed's turn."""

    images_per_s: float
    images_per_core_s: float


def measure_feeds(options: FeedRateOptions) -> list[dict[str, Any]]:
    """Run all feeds in turns; one result per feed, with its ratio to the reference feed if that was measured too."""
    from benchmarks.datasets import data_for_feed

    with tempfile.TemporaryDirectory() as folder:
        data = {feed: data_for_feed(feed, options.data, Path(folder)) for feed in options.feeds}
        turns = [
            {feed: _one_turn(options, feed, data[feed].directory) for feed in options.feeds}
            for _ in range(options.repeats)
        ]
        return [
            {
                "benchmark": "feed_rate",
                "feed": feed,
                "images_per_core_s": statistics.median(turn[feed].images_per_core_s for turn in turns),
                "images_per_s": statistics.median(turn[feed].images_per_s for turn in turns),
                "images_per_core_s_min": min(turn[feed].images_per_core_s for turn in turns),
                "images_per_core_s_max": max(turn[feed].images_per_core_s for turn in turns),
                **_against_reference(feed, turns),
                "repeats": options.repeats,
                "threads": options.threads,
                "batch_size": options.batch_size,
                "image_size": options.image_size,
                "page_cache": "warm",
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
    from convert.manifest import load_manifest

    manifest = load_manifest(directory)
    return {
        "rows": manifest.rows,
        "stored_bytes_per_image": round(manifest.payload_bytes / manifest.rows),
        "encoding": manifest.encoding.name,
        "short_side": manifest.encoding.short_side,
    }


def _one_turn(options: FeedRateOptions, feed: str, directory: Path) -> Repeat:
    """Take batches for `seconds`, after a warm-up, checking that they are what they should be."""
    from tinydarknet.colour import IMAGENET
    from tinydarknet.feed import open_train_feed
    from tinydarknet.feed.augment import Augmentation

    batches = iter(
        open_train_feed(
            directory,
            batch_size=options.batch_size,
            image_size=options.image_size,
            seed=0,
            rank=0,
            world_size=1,
            first_step=0,
            last_step=10**6,
            augmentation=Augmentation(),
            normalization=IMAGENET,
            feed=feed,  # pyright: ignore[reportArgumentType]
            threads=options.threads,
        )
    )
    for _ in itertools.repeat(None, _WARMUP_BATCHES):
        batch = next(batches)
    size = (options.image_size, options.image_size)
    pixels = batch["y" if "y" in batch else "image"]
    if len(pixels) != options.batch_size or pixels.shape[-2:] != size:
        raise UserError(f"the {feed} feed gave batches of shape {pixels.shape}")
    images = 0
    seen: set[bytes] = set()
    wall_start, cpu_start = time.perf_counter(), cpu_seconds()
    while time.perf_counter() - wall_start < options.seconds:
        batch = next(batches)
        images += len(batch["id"])
        seen.add(batch["id"].tobytes())
    wall_s, cpu_s = time.perf_counter() - wall_start, cpu_seconds() - cpu_start
    batches.close()  # pyright: ignore[reportAttributeAccessIssue]
    if len(seen) * options.batch_size < images:
        raise UserError(f"the {feed} feed repeated a batch of ids")
    return Repeat(images / wall_s, images / cpu_s)


def main() -> None:
    """Measure and print."""
    main_single("feed_rate.py", Command(FeedRateOptions, lambda options: emit(measure_feeds(options), options.json)))


if __name__ == "__main__":
    main()
