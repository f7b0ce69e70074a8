"""The schedules against hand-written values and against the recipe's formulas, step by step."""

import math

import numpy as np
import pytest

from tinydarknet.config import ScheduleConfig
from tinydarknet.train.schedule import cosine_annealing, exponential, learning_rates


@pytest.mark.parametrize(
    ("warmup", "milestones", "expected"),
    [
        (0, (2, 3), [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]),
        (1, (2, 3), [0.5, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]),
        (2, (1,), [0.25, 0.5, 0.75, 1, 0.1, 0.1, 0.1, 0.1]),
        (0, (), [1] * 8),
        (9, (1,), [(i + 1) / 18 for i in range(8)]),
        (0, (3, 2), [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]),
    ],
)
def test_exponential_golden(warmup, milestones, expected):
    rates = exponential(1.0, 2, warmup, 4, milestones, 0.1)
    assert rates.dtype == np.float32
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_cosine_golden():
    rates = cosine_annealing(1.0, 2, 1, 5, 4, 0.2)
    c = math.cos(math.pi / 4)
    expected = [0.5, 1, 0.6 + 0.4 * c, 0.6 + 0.4 * c, 0.6, 0.6, 0.6 - 0.4 * c, 0.6 - 0.4 * c, 0.2, 0.2]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def reference_rate(config: ScheduleConfig, steps_per_epoch: int, step: int) -> float:
    """The recipe's words, one step at a time."""
    warmup_steps = config.warmup_epochs * steps_per_epoch
    if step < warmup_steps:
        return config.lr_init * (step + 1) / warmup_steps
    epoch = step // steps_per_epoch
    if config.lr_scheduler == "exponential":
        return config.lr_init * config.lr_gamma ** sum(epoch >= milestone for milestone in config.lr_epochs)
    return config.eta_min + (config.lr_init - config.eta_min) * (1 + math.cos(math.pi * epoch / config.T_max)) / 2


@pytest.mark.parametrize("scheduler", ["exponential", "cosine_annealing"])
def test_two_thousand_steps_follow_the_recipe(scheduler):
    config = ScheduleConfig(lr_scheduler=scheduler, epoch_size=400, warmup_epochs=5, eta_min=0.001)
    rates = learning_rates(config, 5)
    assert len(rates) == 2000
    np.testing.assert_allclose(rates, [reference_rate(config, 5, step) for step in range(2000)], rtol=1e-6)


def test_the_recipe_defaults():
    rates = learning_rates(ScheduleConfig(), 1251)
    assert len(rates) == 500 * 1251
    changes = np.flatnonzero(np.diff(rates)) + 1
    assert (changes / 1251).tolist() == [70, 140, 210, 280]
    np.testing.assert_allclose(rates[[0, *changes]], 0.1 * 0.3 ** np.arange(5), rtol=1e-6)
