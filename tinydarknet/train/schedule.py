"""Learning rates: pure functions from the recipe's numbers to one rate per step, float32 [total steps]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinydarknet.config import ScheduleConfig


def learning_rates(config: ScheduleConfig, steps_per_epoch: int) -> np.ndarray:
    """The rate of every step of a run by the recipe's schedule, float32 [epoch_size * steps_per_epoch]."""
    shared = (config.lr_init, steps_per_epoch, config.warmup_epochs, config.epoch_size)
    if config.lr_scheduler == "exponential":
        return exponential(*shared, milestones=config.lr_epochs, gamma=config.lr_gamma)
    return cosine_annealing(*shared, half_period=config.T_max, floor=config.eta_min)


def exponential(
    peak: float, steps_per_epoch: int, warmup_epochs: int, epochs: int, milestones: Sequence[int], gamma: float
) -> np.ndarray:
    """Linear warm-up, then `peak` times `gamma` for each milestone (epoch, from 0) that the step has reached.

    ModelZoo's warmup_step_lr.
    """
    step = np.arange(epochs * steps_per_epoch)
    passed = np.searchsorted(np.sort(np.asarray(milestones, int)), step // max(steps_per_epoch, 1), side="right")
    return _with_warmup(peak * gamma ** passed.astype(np.float64), peak, warmup_epochs * steps_per_epoch)


def cosine_annealing(
    peak: float, steps_per_epoch: int, warmup_epochs: int, epochs: int, half_period: int, floor: float
) -> np.ndarray:
    """Linear warm-up, then floor + (peak - floor) (1 + cos(pi epoch / half_period)) / 2, constant inside an epoch.

    Beyond `half_period` epochs the rate rises again (Loshchilov and Hutter 2017 without restarts);
    ModelZoo's warmup_cosine_annealing_lr.
    """
    epoch = np.arange(epochs * steps_per_epoch) // max(steps_per_epoch, 1)
    rate = floor + (peak - floor) * (1 + np.cos(np.pi * epoch / half_period)) / 2
    return _with_warmup(rate, peak, warmup_epochs * steps_per_epoch)


def _with_warmup(rates: np.ndarray, peak: float, warmup_steps: int) -> np.ndarray:
    """Replace the first rates by a line from 0 that would reach `peak` at step `warmup_steps`: step i has peak (i + 1) / steps."""
    step = np.arange(min(warmup_steps, len(rates)))
    rates[: len(step)] = peak * (step + 1) / max(warmup_steps, 1)
    return rates.astype(np.float32)


@dataclass(frozen=True)
class Milestones:
    """The steps of a run at which something beside training happens; all counted in updates done."""

    steps_per_epoch: int
    total_steps: int
    checkpoint_every: int
    evaluate_every: int
    """0 for never."""

    def saves_after(self, step: int) -> bool:
        """Whether a checkpoint is due after `step` updates."""
        return step % self.checkpoint_every == 0 or step == self.total_steps

    def evaluates_after(self, step: int) -> bool:
        """Whether an evaluation is due after `step` updates."""
        return self.evaluate_every > 0 and (step % self.evaluate_every == 0 or step == self.total_steps)

    def stretch(self, first_step: int, last_step: int) -> int:
        """The longest number of steps that the device may run by itself from `first_step` on, towards `last_step`.

        It divides every milestone's distance, and epochs', so that a run of such stretches meets each one.
        """
        distances = (
            last_step - first_step,
            self.checkpoint_every - first_step % self.checkpoint_every,
            self.checkpoint_every,
            self.steps_per_epoch,
            self.evaluate_every,
        )
        return math.gcd(*distances)


@dataclass(frozen=True)
class Segment:
    """Steps [first_step, last_step) of a run, whose images are of one size; begins and ends with an epoch unless resumed."""

    first_step: int
    last_step: int
    image_size: int
    """Side, pixels."""

    @property
    def steps(self) -> tuple[int, int]:
        """Its first step, and one past its last."""
        return self.first_step, self.last_step


def size_of_epoch(sizes: Sequence[int], epoch: int, epochs: int) -> int:
    """The image size at `epoch` in [0, epochs): number floor(epoch * len(sizes) / epochs) of `sizes`.

    So each of n sizes gets a share of 1 / n of the epochs, and one that is named twice gets twice as many.
    """
    return sizes[epoch * len(sizes) // epochs]


def segments(sizes: Sequence[int], epochs: int, steps_per_epoch: int, first_step: int) -> list[Segment]:
    """The rest of a run from `first_step` on, cut where the image size changes; sizes that never fall come once each."""
    found: list[Segment] = []
    for epoch in range(first_step // steps_per_epoch, epochs):
        size, end = size_of_epoch(sizes, epoch, epochs), (epoch + 1) * steps_per_epoch
        begin = max(first_step, epoch * steps_per_epoch)
        if found and found[-1].image_size == size:
            begin = found.pop().first_step
        found.append(Segment(begin, end, size))
    return found


def step_costs(sizes: Sequence[int], epochs: int, steps_per_epoch: int) -> np.ndarray:
    """What each step of a run costs beside one at the last size, by its pixels; float64 [epochs * steps_per_epoch]."""
    sides = np.array([size_of_epoch(sizes, epoch, epochs) for epoch in range(epochs)], np.float64)
    return np.repeat((sides / sizes[-1]) ** 2, steps_per_epoch)
