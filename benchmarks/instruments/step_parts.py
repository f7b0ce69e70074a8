"""The network's side of a step, timed: on a cached batch, with its all-reduce alone, and together with the feed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.train import LambdaCallback, Model, RunContext

from benchmarks.instruments.training_feed import TrainingFeed
from convert.dataset.manifest import load_manifest
from tinydarknet.config import OptimizerConfig
from tinydarknet.device import Device, mean_over_ranks
from tinydarknet.evaluate.passes import classifier_for
from tinydarknet.feed.loader import Feed
from tinydarknet.model.network import TinyDarkNet, lower_precision
from tinydarknet.train.step import (
    DynamicLossScale,
    OverflowRegister,
    SmoothedCrossEntropy,
    TrainStep,
    build_optimizer,
)

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
    """The step that training runs on this device, its precision and loss scale included, on a fresh network.

    world_size 1 leaves the all-reduce out.
    """
    recipe, classes = OptimizerConfig(), len(load_manifest(data).classes)
    network = TinyDarkNet(classes, keep_argmax=device.target == "CPU", fused=device.target == "Ascend")
    lower_precision(network, device.amp_level(recipe.amp_level), recipe.amp_dtype)
    rates = np.full(1000, 0.01, np.float32)
    optimizer = build_optimizer(network, rates, recipe.momentum, recipe.weight_decay, recipe.nesterov)
    return TrainStep(
        classifier_for(feed, network),
        SmoothedCrossEntropy(classes, recipe.label_smooth_factor),
        optimizer,
        loss_scale=DynamicLossScale(recipe.loss_scale) if device.follows_overflows(recipe) else recipe.loss_scale,
        world_size=world_size,
        register=OverflowRegister() if device.chip is not None and device.chip.hides_overflow else None,
    ).set_train(True)


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


def time_sink(step: TrainStep, feed: Feed, steps: int) -> float:
    """Milliseconds of a step in stretches of `steps` that the device takes by itself; the first stretch compiles.

    Args:
        step: what `build_step` gives.
        feed: of 3 * steps batches.
        steps: of a stretch.
    """
    ends: list[float] = []
    clock = LambdaCallback(on_train_step_end=lambda context: ends.append(_moment(context)))
    Model(step).train(3, feed.dataset(), callbacks=[clock], dataset_sink_mode=True, sink_size=steps)
    return 1e3 * (ends[-1] - ends[len(ends) // 3 - 1]) / (2 * steps)


def _moment(context: RunContext) -> float:
    """When the loss of the last step was there."""
    context.original_args().net_outputs.asnumpy()
    return time.perf_counter()


class Arrival(nn.Cell):
    """A graph that needs all of a batch, and next to no time."""

    def construct(self, *columns: Tensor) -> Tensor:
        """The first element of every column."""
        return ops.stack([ops.cast(column.reshape(-1)[0], ms.float32) for column in columns])

    def wait_for(self, *columns: Tensor) -> None:
        """Until a batch is on the device."""
        self(*columns).asnumpy()


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
