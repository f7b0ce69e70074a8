"""Where a training step's time goes, and which side waits: the network on a cached batch, the feed alone, both together.

    python benchmarks/step_time.py --data data/imagenet/train --batch-size 32
    python benchmarks/step_time.py --ranks 2        # under msrun: every rank measures, the first reports
    python benchmarks/step_time.py --slow crop      # 30 ms more where images are cropped: does the verdict say so?

Without --data it runs on the built-in sample. The readable summary goes to stderr, the JSON line to stdout.
"""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

import contextlib
import dataclasses
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.instruments.clock import cpu_seconds
from benchmarks.instruments.harness import BenchmarkOptions, emit, percentiles
from benchmarks.instruments.hooks import Stage
from benchmarks.instruments.verdict import name_bottleneck
from benchmarks.prediction.budget import REFERENCE_IMAGES_PER_S, cores_needed
from convert.cli import Command, main_single
from convert.errors import UserError, require_at_least, require_positive
from tinydarknet.config import check_image_side
from tinydarknet.feed.loader import FeedName

if TYPE_CHECKING:
    from benchmarks.instruments.training_feed import TrainingFeed
    from tinydarknet.device import Device

_RATE_SECONDS = 1.0
_PARTS: tuple[str, ...] = ("compute_ms", "all_reduce_ms", "feed_ms", "transfer_ms", "wait_ms", "step_ms")


@dataclass(frozen=True)
class StepTimeOptions(BenchmarkOptions):
    """Time the training step and what feeds it."""

    data: Path | None = None
    """A dataset directory; the built-in sample by default."""
    batch_size: int = 32
    """Images per rank and step."""
    image_size: int = 224
    """Pixels, a multiple of 16."""
    steps: int = 0
    """Counted steps of each kind; 0: as many as fit into `seconds`, 5 to 200."""
    seconds: float = 4.0
    """For the steps on a cached batch, and as long again for those with the feed."""
    batches: int = 100
    """Of the feed alone, stage by stage, and of the transfer alone: enough for a p99."""
    feed: FeedName = "auto"
    """Which feed, as in training."""
    threads: int = 1
    """That make batches, in each rank."""
    ranks: int = 1
    """Processes, each with a device (on the CPU: a share of it), started by msrun on this host."""
    slow: Stage | None = None
    """Slow this stage on purpose, to see that the verdict names it."""
    slow_ms: float = 30.0
    """By so much a batch."""
    device_target: Literal["auto", "Ascend", "CPU"] = "auto"
    """Where the network runs."""
    jit_level: Literal["auto", "O0", "O1", "O2"] = "auto"
    """As in training."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "batch_size", "batches", "threads", "ranks")
        require_at_least(self, 0, "steps", "slow_ms")
        require_positive(self, "seconds")
        check_image_side("image_size", self.image_size)


def time_step(options: StepTimeOptions, data: Path) -> dict[str, Any] | None:
    """Measure everything on this rank; one result for all ranks, from the first of them."""
    from benchmarks.instruments.hooks import slowed
    from tinydarknet.config import DeviceConfig
    from tinydarknet.device import set_up

    device, notes = set_up(DeviceConfig(device_target=options.device_target, jit_level=options.jit_level))
    print(*notes, sep="\n")
    with slowed(options.slow, options.slow_ms):
        parts, stages, cpu_ms = _measure(options, data, device)
    medians = {name: _typical(name, values) for name, values in parts.items()}
    medians |= {f"stage {name}": statistics.median(values) for name, values in stages.items()}
    by_rank = _gather(device, medians)
    if not device.is_first:
        return None
    slowest = {name: max(rank[name] for rank in by_rank) for name in medians}
    verdict = name_bottleneck(
        {name: slowest[f"stage {name}"] for name in stages}, **{name: slowest[name] for name in _PARTS}
    )
    paces = [_pace_ms(rank) for rank in by_rank]
    return {
        "benchmark": "step_time",
        "device": device.target,
        "amp_level": device.amp_level("auto"),
        "jit_level": options.jit_level,
        "stage_ms": {name: percentiles(values) for name, values in stages.items()},
        **{name: percentiles(values) if values else None for name, values in parts.items()},
        "cpu_ms_per_step": cpu_ms,
        "bottleneck": verdict.bottleneck,
        "verdict": verdict.sentence,
        "images_per_s": 1e3 * options.batch_size * device.world_size / slowest["step_ms"],
        "ranks": device.world_size,
        "rank_pace_ms": paces,
        "slowest_rank": paces.index(max(paces)),
        "feeds": _feed_rates(options, data) if device.world_size == 1 and options.slow is None else {},
        "batch_size": options.batch_size,
        "image_size": options.image_size,
        "threads": options.threads,
        "steps": len(parts["step_ms"]),
        "batches": options.batches,
        "slow": options.slow,
        "page_cache": "warm",
    }


def _typical(part: str, values: Sequence[float]) -> float:
    """The median; the mean where batches come in bursts and only the pace counts."""
    if not values:
        return 0.0
    return statistics.fmean(values) if part in ("feed_ms", "transfer_ms") else statistics.median(values)


def _measure(
    options: StepTimeOptions, data: Path, device: Device
) -> tuple[dict[str, list[float]], dict[str, list[float]], float]:
    """Milliseconds by part of the step and by stage of the feed, and the CPU time of a step."""
    from mindspore import Tensor

    from benchmarks.instruments import step_parts
    from benchmarks.instruments.stages import time_feed, time_stages, time_transfer

    opening = _opening(options, data, device)
    stages = time_stages(opening, options.batches)
    feed_ms = time_feed(opening.open(options.batches + 2 * options.threads + 8), options.batches, options.threads)
    feed = opening.open(1)
    batch = step_parts.first_batch(opening)
    transfer_ms = time_transfer(batch, feed.columns, options.batches, step_parts.Arrival().wait_for)
    columns = [Tensor(batch[name]) for name in feed.columns]
    local = step_parts.build_step(feed, data, device, 1)
    compute_ms = step_parts.time_cached(local, columns, device, options.seconds, options.steps)
    step = local if device.world_size == 1 else step_parts.build_step(feed, data, device, device.world_size)
    if step is not local:
        step(*columns).asnumpy()  # compiles
    all_reduce_ms = step_parts.time_all_reduce(step, device, len(compute_ms))
    count = len(compute_ms)
    together = step_parts.time_together(step, opening.open(count + 1), count, cpu_seconds)
    measured = (compute_ms, all_reduce_ms, feed_ms, transfer_ms, together.wait_ms, together.step_ms)
    parts: dict[str, list[float]] = dict(zip(_PARTS, measured, strict=True))
    parts["sink_ms"] = [step_parts.time_sink(step, opening.open(3 * count), count)] if device.target != "CPU" else []
    return parts, stages, together.cpu_ms


def _opening(options: StepTimeOptions, data: Path, device: Device) -> TrainingFeed:
    from benchmarks.instruments.hooks import delaying
    from benchmarks.instruments.training_feed import TrainingFeed
    from convert.dataset.manifest import load_manifest

    encoding = load_manifest(data).encoding.name
    stage = "crop" if encoding == "yuv420" else "decode"
    if options.slow in ("crop", "decode") and options.slow != stage:
        raise UserError(f"{data} is stored as {encoding}, its feed has a stage {stage} and none called {options.slow}")
    if options.slow in ("read", "crop", "decode", "batch") and options.feed in ("reference", "dvpp", "dvpp_on_cpu"):
        raise UserError(f"the {options.feed} feed's stages cannot be slowed: take --feed planes or host")
    if options.slow == "all-reduce" and device.world_size == 1:
        raise UserError("one rank has no all-reduce to slow: add --ranks 2")
    return TrainingFeed(
        data, encoding, options.feed, options.batch_size, options.image_size, options.threads,
        device.rank, device.world_size, delaying(options.slow, options.slow_ms),
    )  # fmt: skip


def _gather(device: Device, medians: Mapping[str, float]) -> list[dict[str, float]]:
    """Every rank's medians, on every rank."""
    import numpy as np

    from tinydarknet.device import mean_over_ranks

    table = np.zeros((device.world_size, len(medians)), np.float32)
    table[device.rank] = list(medians.values())
    rows = device.world_size * mean_over_ranks(device, table.reshape(-1)).reshape(table.shape)
    return [dict(zip(medians, row.tolist(), strict=True)) for row in rows]


def _pace_ms(medians: Mapping[str, float]) -> float:
    """What a rank would take for a step if it had nobody to wait for."""
    return max(medians["compute_ms"], medians["feed_ms"], medians["transfer_ms"])


def _feed_rates(options: StepTimeOptions, data: Path) -> dict[str, Any]:
    from benchmarks.feed_rate import FeedRateOptions, measure_feeds

    rates = measure_feeds(
        FeedRateOptions(
            data=(data,),
            feeds=("planes", "reference"),
            image_size=options.image_size,
            batch_size=options.batch_size,
            threads=options.threads,
            seconds=_RATE_SECONDS,
            repeats=1,
            rows=max(128, 2 * options.batch_size),
        )
    )
    return {
        rate["feed"]: {
            "images_per_core_s": rate["images_per_core_s"],
            "images": rate["images"],
            "cores_for_8_cards_at_104_ms": cores_needed(REFERENCE_IMAGES_PER_S, rate["images_per_core_s"]),
        }
        for rate in rates
    }


def summary(result: Mapping[str, Any]) -> str:
    """The result for people."""
    stages = ", ".join(f"{name} {_three(times)}" for name, times in result["stage_ms"].items())
    parts = ", ".join(
        f"{name.removesuffix('_ms').replace('_', '-')} {_three(result[name])}" for name in _PARTS[:4] if result[name]
    )
    lines = [
        f"{result['device']} at {result['amp_level']}, batch {result['batch_size']}, {result['image_size']} px; "
        "milliseconds, p50 / p95 / p99",
        f"  one batch, one thread: {stages}",
        f"  alone: {parts}",
        f"  together: step {_three(result['step_ms'])}, of which waiting {_three(result['wait_ms'])}",
        *([f"  in a sink: {result['sink_ms']['mean']:.1f} a step"] if result["sink_ms"] else []),
        f"  {result['verdict']}",
    ]
    if result["ranks"] > 1:
        paces = ", ".join(f"{pace:.1f}" for pace in result["rank_pace_ms"])
        lines.append(f"  the ranks' own paces: {paces} ms; rank {result['slowest_rank']} is the slowest")
    lines += [
        f"  {name:10} {feed['images_per_core_s']:8,.0f} images per core-second at {result['image_size']} px ({feed['images']}): "
        f"{feed['cores_for_8_cards_at_104_ms']:.1f} cores for 8 cards at 104 ms (9,846 images/s)"
        for name, feed in result["feeds"].items()
    ]
    return "\n".join(lines)


def _three(times: Mapping[str, float]) -> str:
    return " / ".join(f"{times[name]:.1f}" for name in ("p50", "p95", "p99"))


def _main(options: StepTimeOptions) -> int:
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(sys.stderr):
            data = options.data or _sample(Path(folder), options.batch_size * options.ranks)
            if options.ranks > 1:
                return _launch(options, data, Path(folder))
            result = time_step(options, data)
        if result is not None:
            print(summary(result), file=sys.stderr)
            emit([result], options.json)
    return 0


def _launch(options: StepTimeOptions, data: Path, folder: Path) -> int:
    """Run this program as every rank; show what the first of them wrote."""
    from benchmarks.instruments.ports import free_port
    from convert.durable_files import write_output
    from tinydarknet.launch import LaunchOptions, launch

    output = folder / "result.json"
    launch_options = LaunchOptions(ranks=options.ranks, master_port=free_port(), log_dir=folder / "ranks")
    status = launch(launch_options, _rank_arguments(options, data, output), Path(sys.argv[0]).resolve())
    if status == 0:
        print(output.read_text(), end="", file=sys.__stdout__, flush=True)
        if options.json is not None:
            write_output(options.json, output.read_bytes())
    return status


def _rank_arguments(options: StepTimeOptions, data: Path, output: Path) -> list[str]:
    """The options of one rank: those of all, of one rank on this dataset."""
    changes = {"data": data.resolve(), "json": output, "ranks": 1}
    values = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)} | changes
    return [
        word
        for name, value in values.items()
        if value is not None
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]


def _sample(folder: Path, images: int) -> Path:
    """Convert a few of the built-in images, enough for one step."""
    from convert.job.options import RunOptions
    from convert.run import run
    from convert.sample import SampleOptions, sample

    sample(SampleOptions(folder / "images", images=max(64, 2 * images)))
    run(RunOptions(folder / "images" / "train", folder / "dataset"))
    return folder / "dataset"


def main() -> None:
    """Measure and print."""
    main_single("step_time.py", Command(StepTimeOptions, _main))


if __name__ == "__main__":
    main()
