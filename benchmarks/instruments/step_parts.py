"""The network's side of a step, timed: on a cached batch, with its all-reduce alone, and together with the feed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from benchmarks.instruments.training_feed import TrainingFeed
from convert.dataset.manifest import load_manifest
from tinydarknet.device import Device, mean_over_ranks
from tinydarknet.evaluate.passes import classifier_for
from tinydarknet.feed.loader import Feed
from tinydarknet.model.network import TinyDarkNet
from tinydarknet.train.step import SmoothedCrossEntropy, TrainStep, build_optimizer

STEPS_MIN, STEPS_MAX = 5, 200


@dataclass(frozen=True)
class Together:
    """Steps with the feed at work, milliseconds each."""

    step_ms: list[float]
    """Whole steps."""
    wait_ms: list[float]
    """The part of each in which the network had no batch."""
    cpu_ms: float
    """CPU time of one step, network and feed, on average."""


def build_step(feed: Feed, data: Path, device: Device, world_size: int) -> TrainStep:
    """The step that training runs, with the reference's recipe, on a fresh network; world_size 1 leaves the all-reduce out."""
    classes = len(load_manifest(data).classes)
    network = TinyDarkNet(classes, keep_argmax=device.target == "CPU")
    rates = np.full(1000, 0.01, np.float32)
    optimizer = build_optimizer(network, rates, momentum=0.9, weight_decay=1e-4, nesterov=False)
    classifier, loss = classifier_for(feed, network), SmoothedCrossEntropy(classes, 0.1)
    return TrainStep(classifier, loss, optimizer, world_size=world_size).set_train(True)


def first_batch(opening: TrainingFeed) -> dict[str, np.ndarray]:
    """A batch to keep, with arrays of its own."""
    batches = opening.open(1).reused()
    return {name: np.array(values) for name, values in next(batches).items()}


def time_cached(step: TrainStep, columns: list[Tensor], device: Device, seconds: float, steps: int) -> list[float]:
    """Milliseconds of each step when the data is free; the first compiles and is not counted, the second sets how many."""
    step(*columns).asnumpy()
    estimate_ms = _milliseconds(lambda: step(*columns).asnumpy())
    count = steps or agree_on_steps(device, seconds, estimate_ms)
    return [_milliseconds(lambda: step(*columns).asnumpy()) for _ in range(count)]


def agree_on_steps(device: Device, seconds: float, step_ms: float) -> int:
    """How many steps fit into `seconds`, within bounds; the same on all ranks, which step together."""
    mean_ms = float(mean_over_ranks(device, np.array([step_ms], np.float32))[0])
    return int(np.clip(1e3 * seconds / mean_ms, STEPS_MIN, STEPS_MAX))


def time_all_reduce(step: TrainStep, device: Device, count: int) -> list[float]:
    """Milliseconds of reducing one step's gradients over all ranks, which begin together; nothing on one rank."""
    if device.world_size == 1:
        return []
    weights = step.weights
    reduce = _AllReduce(weights, device.world_size)
    gradients = [Tensor(np.zeros(weight.shape), ms.float32) for weight in weights]
    reduce(*gradients)
    times = []
    for _ in range(count):
        mean_over_ranks(device, np.zeros(1, np.float32))  # all are here
        times.append(_milliseconds(lambda: [reduced.asnumpy() for reduced in reduce(*gradients)]))
    return times


def time_together(step: TrainStep, feed: Feed, count: int, cpu_seconds: Callable[[], float]) -> Together:
    """Run `count` steps on a feed's own batches; the first step is not counted."""
    step_ms, wait_ms = [], []
    cpu_start = 0.0
    batches: Any = feed.dataset().create_tuple_iterator(num_epochs=1, do_copy=False)
    for number in range(count + 1):
        if number == 1:
            cpu_start = cpu_seconds()
        start = time.perf_counter()
        columns = next(batches)
        waited = time.perf_counter()
        step(*columns).asnumpy()
        step_ms.append(1e3 * (time.perf_counter() - start))
        wait_ms.append(1e3 * (waited - start))
    cpu_ms = 1e3 * (cpu_seconds() - cpu_start) / count
    for _ in batches:  # to the end, so that its threads are gone
        pass
    return Together(step_ms[1:], wait_ms[1:], cpu_ms)


class _AllReduce(nn.Cell):
    """The reducer of a training step, by itself."""

    def __init__(self, weights: Any, world_size: int) -> None:
        super().__init__(auto_prefix=False)
        self.reduce = nn.DistributedGradReducer(weights, mean=True, degree=world_size)

    def construct(self, *gradients: Tensor) -> tuple[Tensor, ...]:
        """The mean of the ranks' gradients."""
        return self.reduce(gradients)


def _milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start)
