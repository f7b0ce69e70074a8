"""How the planes feed scales with threads, beside what the machine itself gives: copies of an independent compute loop.

python benchmarks/thread_scaling.py --data data/imagenet/train --threads 1 2
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.feed_rate import FeedRateOptions, measure_feeds
from benchmarks.instruments.harness import emit
from benchmarks.instruments.loop import loops_per_s
from convert.cli import Command, main_single


@dataclass(frozen=True)
class ThreadScalingOptions:
    """Measure the planes feed on several numbers of threads."""

    data: Path
    """A dataset directory."""
    threads: tuple[int, ...] = (1, 2)
    """Numbers of threads; the first is what the others are held against."""
    batch_size: int = 128
    """Images per batch."""
    image_size: int = 224
    """Pixels."""
    seconds: float = 3.0
    """Duration of one measurement."""
    repeats: int = 3
    """Turns; the medians count."""
    json: Path | None = None
    """Write the JSON lines here too."""

    def __post_init__(self) -> None:
        if not self.threads or min(self.threads) < 1:
            raise ValueError(f"threads must be at least 1 each, got {self.threads}")
        for name in ("batch_size", "image_size", "seconds", "repeats"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


def measure_scaling(options: ThreadScalingOptions) -> list[dict[str, Any]]:
    """One result per number of threads; feed and loop take turns."""
    loops: dict[int, list[float]] = {count: [] for count in options.threads}
    feeds: dict[int, list[float]] = {count: [] for count in options.threads}
    for _ in range(options.repeats):
        for count in options.threads:
            feeds[count].append(_feed_images_per_s(options, count))
            loops[count].append(loops_per_s(count, options.seconds))
    first = options.threads[0]
    return [
        {
            "benchmark": "thread_scaling",
            "threads": count,
            "images_per_s": statistics.median(feeds[count]),
            "feed_speedup": statistics.median(feeds[count]) / statistics.median(feeds[first]),
            "loop_speedup": statistics.median(loops[count]) / statistics.median(loops[first]),
            "feed_over_loop": statistics.median(
                (feed / feeds[first][turn]) / (loop / loops[first][turn])
                for turn, (feed, loop) in enumerate(zip(feeds[count], loops[count], strict=True))
            ),
            "repeats": options.repeats,
            "batch_size": options.batch_size,
            "image_size": options.image_size,
        }
        for count in options.threads
    ]


def _feed_images_per_s(options: ThreadScalingOptions, threads: int) -> float:
    (rate,) = measure_feeds(
        FeedRateOptions(
            (options.data,),
            ("planes",),
            batch_size=options.batch_size,
            image_size=options.image_size,
            threads=threads,
            seconds=options.seconds,
            repeats=1,
        )
    )
    return rate["images_per_s"]


def main() -> None:
    """Measure and print."""
    main_single(
        "thread_scaling.py",
        Command(ThreadScalingOptions, lambda options: emit(measure_scaling(options), options.json)),
    )


if __name__ == "__main__":
    main()
