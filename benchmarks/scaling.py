"""What the feed and its opening cost as things grow: threads, ranks, batch, shards, rows; one axis after the other.

    python benchmarks/scaling.py --data data/imagenet/train --json result.json

threads   images/s of one rank's planes feed, by its threads, beside copies of an independent compute loop
ranks     images/s of that many processes together, each the feed of its own rank, one thread each
batch     images per core-second, by batch size
shards    opening generated rows, by the number of shards they lie in
rows      opening generated rows, by their number: up to ImageNet's
"""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

import multiprocessing
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.feed_rate import FeedRateOptions, Repeat, take_turn
from benchmarks.instruments.harness import BenchmarkOptions, run_benchmark, spread
from benchmarks.instruments.loop import loops_per_s
from convert.errors import require_at_least, require_positive, require_some

Axis = Literal["threads", "ranks", "batch", "shards", "rows"]


@dataclass(frozen=True)
class ScalingOptions(BenchmarkOptions):
    """Measure along every axis."""

    data: Path
    """A dataset directory in yuv420."""
    axes: tuple[Axis, ...] = ("threads", "ranks", "batch", "shards", "rows")
    """Which axes."""
    threads: tuple[int, ...] = (1, 2, 4)
    """Threads of one rank; the first is what the others are held against."""
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

    def __post_init__(self) -> None:
        require_some(self, "threads", "ranks", "batches", "shards", "rows")
        require_at_least(self, 1, "threads", "ranks", "batches", "shards", "rows")
        require_positive(self, "shard_rows", "batch_size", "image_size", "seconds", "repeats")


def measure_axes(options: ScalingOptions) -> list[dict[str, Any]]:
    """One result per axis and value."""
    measure = {
        "threads": lambda: _threads_axis(options),
        "ranks": lambda: _ranks_axis(options),
        "batch": lambda: _batch_axis(options),
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


def _threads_axis(options: ScalingOptions) -> list[dict[str, Any]]:
    """Feed and loop take turns; what more threads gain is held against what as many loops gain, turn by turn."""
    feeds: dict[int, list[Repeat]] = {count: [] for count in options.threads}
    loops: dict[int, list[float]] = {count: [] for count in options.threads}
    for _ in range(options.repeats):
        for count in options.threads:
            feeds[count].append(take_turn(_wanted(options, threads=count), "planes", options.data))
            loops[count].append(loops_per_s(count, options.seconds))
    first = options.threads[0]
    results = []
    for count in options.threads:
        gains = [turn.images_per_s / start.images_per_s for turn, start in zip(feeds[count], feeds[first], strict=True)]
        loop_gains = [turn / start for turn, start in zip(loops[count], loops[first], strict=True)]
        over_loops = [gain / loop for gain, loop in zip(gains, loop_gains, strict=True)]
        speedups = {
            "feed_speedup": statistics.median(gains),
            "loop_speedup": statistics.median(loop_gains),
            "feed_over_loop": statistics.median(over_loops),
        }
        results.append(_feed_result(options, "threads", count, feeds[count], **speedups))
    return results


def _batch_axis(options: ScalingOptions) -> list[dict[str, Any]]:
    wanted = {size: _wanted(options, batch_size=size) for size in options.batches}
    turns = [
        {size: take_turn(feed, "planes", options.data) for size, feed in wanted.items()} for _ in range(options.repeats)
    ]
    return [_feed_result(options, "batch", size, [turn[size] for turn in turns]) for size in wanted]


def _ranks_axis(options: ScalingOptions) -> list[dict[str, Any]]:
    """That many processes at once, each making batches of its own rank for the same span of time."""
    results = []
    for ranks in options.ranks:
        together = []
        with multiprocessing.get_context("spawn").Pool(ranks) as pool:
            orders = [(options, rank, ranks) for rank in range(ranks)]
            pool.map(_rank_turn, orders, chunksize=1)  # imports, page cache
            for _ in range(options.repeats):
                turns = pool.map(_rank_turn, orders, chunksize=1)
                batches = sum(turn.batches for turn in turns)
                per_core_s = batches / sum(turn.batches / turn.images_per_core_s for turn in turns)
                per_s = sum(turn.images_per_s for turn in turns)
                together.append(replace(turns[0], images_per_s=per_s, images_per_core_s=per_core_s))
        results.append(_feed_result(options, "ranks", ranks, together))
    return results


def _feed_result(options: ScalingOptions, axis: Axis, value: int, turns: list[Repeat], **more: float) -> dict[str, Any]:
    return _result(
        axis,
        value,
        **spread("images_per_s", [turn.images_per_s for turn in turns]),
        **spread("images_per_core_s", [turn.images_per_core_s for turn in turns]),
        **more,
        image_size=options.image_size,
        repeats=options.repeats,
    )


def _rank_turn(order: tuple[ScalingOptions, int, int]) -> Repeat:
    options, rank, ranks = order
    return take_turn(_wanted(options), "planes", options.data, rank, ranks)


def _opening(options: ScalingOptions, axis: Axis, value: int, rows: int, shards: int) -> dict[str, Any]:
    from benchmarks.open_rate import OpenRateOptions, measure_openings

    opening = OpenRateOptions(rows=rows, shards=shards, batch_size=min(128, rows // 8), ranks=8)
    turns = [result for _ in range(options.repeats) for result in measure_openings(opening)]
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
    run_benchmark("scaling.py", ScalingOptions, measure_axes)


if __name__ == "__main__":
    main()
