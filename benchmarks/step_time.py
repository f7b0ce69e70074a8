"""Where a training step's time goes, and which side waits: the network on a cached batch, the feed alone, both together.

    python benchmarks/step_time.py --data data/imagenet/train --batch-size 32

Without --data it runs on the built-in sample. The readable summary goes to stderr, the JSON line to stdout.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.harness import REFERENCE_IMAGES_PER_S, emit, percentiles
from benchmarks.verdict import name_bottleneck
from convert.cli import Command, main_single

if TYPE_CHECKING:
    from mindspore import Tensor

    from tinydarknet.feed.opening import Feed

_RATE_SECONDS = 2.0


@dataclass(frozen=True)
class StepTimeOptions:
    """Time the training step and what feeds it."""

    data: Path | None = None
    """A dataset directory; the built-in sample by default."""
    batch_size: int = 32
    """Images per step."""
    image_size: int = 224
    """Pixels, a multiple of 16."""
    steps: int = 5
    """Counted steps of each kind, after one that is not counted."""
    threads: int = 1
    """That make batches."""
    device_target: Literal["auto", "Ascend", "CPU"] = "auto"
    """Where the network runs."""
    json: Path | None = None
    """Write the JSON line here too."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "steps", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.image_size < 16 or self.image_size % 16:
            raise ValueError(f"image_size must be a positive multiple of 16, got {self.image_size}")


def time_step(options: StepTimeOptions) -> dict[str, Any]:
    """Measure everything; one result."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        data = options.data or _sample(Path(folder), options.batch_size)
        return _time_on(options, data)


def _time_on(options: StepTimeOptions, data: Path) -> dict[str, Any]:
    from benchmarks.feed_rate import FeedRateOptions, measure_feeds
    from benchmarks.stages import time_stages
    from tinydarknet.config import DeviceConfig
    from tinydarknet.device import set_up

    device, notes = set_up(DeviceConfig(device_target=options.device_target))
    print(*notes, sep="\n")
    stages = time_stages(data, options.batch_size, options.image_size, options.steps)
    feed = _open(options, data)
    step = _training_step(feed, data, device.target == "CPU")
    cached_ms = _step_on_cached_batch(step, feed, options.steps)
    feed_ms = _feed_alone(feed, options.steps)
    step_ms, wait_ms = _both_together(step, feed, options.steps)
    rates = measure_feeds(
        FeedRateOptions(
            data=(data,),
            feeds=("planes", "reference"),
            image_size=options.image_size,
            batch_size=options.batch_size,
            threads=options.threads,
            seconds=_RATE_SECONDS,
        )
    )
    verdict = name_bottleneck(
        {name: statistics.median(values) for name, values in stages.items()},
        compute_ms=statistics.median(cached_ms),
        feed_ms=statistics.median(feed_ms),
        step_ms=statistics.median(step_ms),
        wait_ms=statistics.median(wait_ms),
    )
    return {
        "benchmark": "step_time",
        "device": device.target,
        "stage_ms": {name: percentiles(values) for name, values in stages.items()},
        "compute_ms": percentiles(cached_ms),
        "feed_ms": percentiles(feed_ms),
        "step_ms": percentiles(step_ms),
        "wait_ms": percentiles(wait_ms),
        "bottleneck": verdict.bottleneck,
        "verdict": verdict.sentence,
        "images_per_s": 1e3 * options.batch_size / statistics.median(step_ms),
        "feeds": {
            rate["feed"]: {
                "images_per_core_s": rate["images_per_core_s"],
                "images": rate["images"],
                "cores_for_8_cards_at_104_ms": REFERENCE_IMAGES_PER_S / rate["images_per_core_s"],
            }
            for rate in rates
        },
        "batch_size": options.batch_size,
        "image_size": options.image_size,
        "threads": options.threads,
        "steps": options.steps,
        "page_cache": "warm",
    }


def _sample(folder: Path, batch_size: int) -> Path:
    """Convert a few of the built-in images, enough for one step."""
    from convert.options import RunOptions
    from convert.run import run
    from convert.sample import SampleOptions, sample

    sample(SampleOptions(folder / "images", images=max(64, 2 * batch_size)))
    run(RunOptions(folder / "images" / "train", folder / "dataset"))
    return folder / "dataset"


def _open(options: StepTimeOptions, data: Path) -> Feed:
    from tinydarknet.colour import IMAGENET
    from tinydarknet.feed.augment import Augmentation
    from tinydarknet.feed.opening import open_train_feed

    return open_train_feed(
        data,
        batch_size=options.batch_size,
        image_size=options.image_size,
        seed=0,
        rank=0,
        world_size=1,
        first_step=0,
        last_step=options.steps + 1,
        augmentation=Augmentation(),
        normalization=IMAGENET,
        threads=options.threads,
    )


def _training_step(feed: Feed, data: Path, on_cpu: bool) -> Callable[..., Tensor]:
    """The step that training runs, with the reference's recipe."""
    import numpy as np

    from convert.manifest import load_manifest
    from tinydarknet.evaluation.scoring import classifier_for
    from tinydarknet.model.network import TinyDarkNet
    from tinydarknet.training.loss import SmoothedCrossEntropy
    from tinydarknet.training.optimizer import build_optimizer
    from tinydarknet.training.step import TrainStep

    classes = len(load_manifest(data).classes)
    network = TinyDarkNet(classes, keep_argmax=on_cpu)
    rates = np.full(1000, 0.01, np.float32)
    optimizer = build_optimizer(network, rates, momentum=0.9, weight_decay=1e-4, nesterov=False)
    step = TrainStep(classifier_for(feed, network), SmoothedCrossEntropy(classes, 0.1), optimizer)
    return step.set_train(True)


def _step_on_cached_batch(step: Callable[..., Tensor], feed: Feed, steps: int) -> list[float]:
    """Milliseconds of each step when the data is free; the first compiles and is not counted."""
    columns = next(_tensors(feed))
    return [_milliseconds(lambda: step(*columns).asnumpy()) for _ in range(steps + 1)][1:]


def _feed_alone(feed: Feed, steps: int) -> list[float]:
    """Milliseconds for each batch when nothing consumes it: the sustained pace, prefetched batches spread evenly."""
    batches = _tensors(feed)
    next(batches)
    total_ms = _milliseconds(lambda: [next(batches) for _ in range(steps)])
    return [total_ms / steps] * steps


def _both_together(step: Callable[..., Tensor], feed: Feed, steps: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each whole step, and of the waiting for its batch; the first step is not counted."""
    step_ms, wait_ms = [], []
    batches = _tensors(feed)
    for _ in range(steps + 1):
        start = time.perf_counter()
        columns = next(batches)
        waited = time.perf_counter()
        step(*columns).asnumpy()
        step_ms.append(1e3 * (time.perf_counter() - start))
        wait_ms.append(1e3 * (waited - start))
    return step_ms[1:], wait_ms[1:]


def _tensors(feed: Feed) -> Iterator[Any]:
    return feed.dataset().create_tuple_iterator(num_epochs=1, do_copy=False)


def _milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start)


def summary(result: dict[str, Any]) -> str:
    """The result for people."""
    stages = ", ".join(f"{name} {times['p50']:.1f}" for name, times in result["stage_ms"].items())
    feeds = "\n".join(
        f"  {name:10} {feed['images_per_core_s']:8,.0f} images per core-second at {result['image_size']} px ({feed['images']}): "
        f"{feed['cores_for_8_cards_at_104_ms']:.1f} cores for 8 cards at 104 ms (9,846 images/s)"
        for name, feed in result["feeds"].items()
    )
    return (
        f"{result['device']}, batch {result['batch_size']}, {result['image_size']} px; milliseconds per step, medians\n"
        f"  one batch, one thread: {stages}\n"
        f"  network on a cached batch {result['compute_ms']['p50']:.1f}; feed alone {result['feed_ms']['p50']:.1f}; "
        f"together {result['step_ms']['p50']:.1f}, of which waiting {result['wait_ms']['p50']:.1f}\n"
        f"  {result['verdict']}\n{feeds}"
    )


def _main(options: StepTimeOptions) -> None:
    result = time_step(options)
    print(summary(result), file=sys.stderr)
    emit([result], options.json)


def main() -> None:
    """Measure and print."""
    main_single("step_time.py", Command(StepTimeOptions, _main))


if __name__ == "__main__":
    main()
