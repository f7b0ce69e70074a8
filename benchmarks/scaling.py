"""What the feed and its opening cost as things grow: workers, ranks, batch, shards, rows; one axis after the other.

    python benchmarks/scaling.py --data data/imagenet/train --json result.json

threads   images/s of one rank's planes feed, by its threads
ranks     images/s of that many processes together, each the feed of its own rank, one thread each
batch     images per core-second, by batch size
shards    opening generated rows, by the number of shards they lie in
rows      opening generated rows, by their number: up to ImageNet's
"""

from __future__ import annotations

import multiprocessing
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.feed_rate import FeedRateOptions, Repeat, take_turn
from benchmarks.instruments.harness import emit, spread
from convert.cli import Command, main_single

Axis = Literal["threads", "ranks", "batch", "shards", "rows"]


@dataclass(frozen=True)
class ScalingOptions:
    """Measure along every axis."""

    data: Path
    """A dataset directory in yuv420."""
    axes: tuple[Axis, ...] = ("threads", "ranks", "batch", "shards", "rows")
    """Which axes."""
    threads: tuple[int, ...] = (1, 2, 4)
    """Threads of one rank."""
    ranks: tuple[int, ...] = (1, 2, 4)
    """Processes at once; they share the machine's cores."""
    batches: tuple[int, ...] = (8, 16, 32, 64, 128)
    """Images per batch."""
    shards: tuple[int, ...] = (1, 16, 128, 1000)
    """For `shard_rows` rows."""
    shard_rows: int = 128_000
    """Generated rows on the axis of shards."""
    rows: tuple[int, ...] = (1_000, 10_000, 100_000, 1_281_167)
    """Generated, in 128 shards at most."""
    batch_size: int = 32
    """Images per batch on the axes of threads and ranks."""
    image_size: int = 224
    """Pixels."""
    seconds: float = 2.0
    """Duration of one turn of a feed."""
    repeats: int = 3
    """Turns; the medians count."""
    json: Path | None = None
    """Write the JSON lines here too."""

    def __post_init__(self) -> None:
        for name in ("threads", "ranks", "batches", "shards", "rows"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise ValueError(f"{name} must be at least 1 each, got {getattr(self, name)}")
        for name in ("shard_rows", "batch_size", "image_size", "seconds", "repeats"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


def measure_axes(options: ScalingOptions) -> list[dict[str, Any]]:
    """One result per axis and value."""
    measure = {
        "threads": lambda: _feed_axis(
            options, "threads", {count: _wanted(options, threads=count) for count in options.threads}
        ),
        "ranks": lambda: _ranks_axis(options),
        "batch": lambda: _feed_axis(
            options, "batch", {size: _wanted(options, batch_size=size) for size in options.batches}
        ),
        "shards": lambda: [_opening(options, "shards", count, options.shard_rows, count) for count in options.shards],
        "rows": lambda: [_opening(options, "rows", rows, rows, min(128, rows)) for rows in options.rows],
    }
    return [result for axis in options.axes for result in measure[axis]()]


def _result(axis: Axis, value: int, **measured: Any) -> dict[str, Any]:
    return {"benchmark": "scaling", "axis": axis, "value": value, **measured}


def _wanted(options: ScalingOptions, *, batch_size: int = 0, threads: int = 1) -> FeedRateOptions:
    return FeedRateOptions(
        (options.data,),
        batch_size=batch_size or options.batch_size,
        image_size=options.image_size,
        threads=threads,
        seconds=options.seconds,
    )


def _feed_axis(options: ScalingOptions, axis: Axis, wanted: dict[int, FeedRateOptions]) -> list[dict[str, Any]]:
    """Turns of one feed with each value, in turns."""
    turns = [
        {value: take_turn(feed, "planes", options.data) for value, feed in wanted.items()}
        for _ in range(options.repeats)
    ]
    return [
        _result(
            axis,
            value,
            **spread("images_per_s", [turn[value].images_per_s for turn in turns]),
            **spread("images_per_core_s", [turn[value].images_per_core_s for turn in turns]),
            image_size=options.image_size,
            repeats=options.repeats,
        )
        for value in wanted
    ]


def _ranks_axis(options: ScalingOptions) -> list[dict[str, Any]]:
    """That many processes at once, each making batches of its own rank for the same span of time."""
    results = []
    for ranks in options.ranks:
        together, per_core = [], []
        with multiprocessing.get_context("spawn").Pool(ranks) as pool:
            orders = [(options, rank, ranks) for rank in range(ranks)]
            pool.map(_rank_turn, orders, chunksize=1)  # imports, page cache
            for _ in range(options.repeats):
                turns = pool.map(_rank_turn, orders, chunksize=1)
                together.append(sum(turn.images_per_s for turn in turns))
                cpu_s = sum(turn.batches / turn.images_per_core_s for turn in turns)
                per_core.append(sum(turn.batches for turn in turns) / cpu_s)
        results.append(
            _result(
                "ranks",
                ranks,
                **spread("images_per_s", together),
                **spread("images_per_core_s", per_core),
                image_size=options.image_size,
                repeats=options.repeats,
            )
        )
    return results


def _rank_turn(order: tuple[ScalingOptions, int, int]) -> Repeat:
    options, rank, ranks = order
    return take_turn(_wanted(options), "planes", options.data, rank, ranks)


def _opening(options: ScalingOptions, axis: Axis, value: int, rows: int, shards: int) -> dict[str, Any]:
    from benchmarks.open_rate import OpenRateOptions, measure_opening

    opening = OpenRateOptions(rows=rows, shards=shards, batch_size=min(128, rows // 8), ranks=8)
    turns = [measure_opening(opening) for _ in range(options.repeats)]
    return _result(
        axis,
        value,
        **{
            name: statistics.median(turn[name] for turn in turns)
            for name in ("open_s", "first_ids_s", "ids_at_middle_step_s", "added_peak_rss_mb")
        },
        open_files=turns[0]["open_files"],
        rows=rows,
        shards=shards,
        repeats=options.repeats,
    )


def main() -> None:
    """Measure and print."""
    main_single("scaling.py", Command(ScalingOptions, lambda options: emit(measure_axes(options), options.json)))


if __name__ == "__main__":
    main()
