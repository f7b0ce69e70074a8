"""Learning rates: pure functions from the recipe's numbers to one rate per step, float32 [total steps]."""

from __future__ import annotations

from collections.abc import Sequence

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
