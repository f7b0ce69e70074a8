"""The network's first cells against numpy."""

import mindspore as ms
import numpy as np
import pytest

from tinydarknet.colour import IMAGENET, ColourFactors, colour_matrices, rgb_from_planes
from tinydarknet.config import DeviceConfig
from tinydarknet.device import set_up
from tinydarknet.feed.mindspore import PlanesToRgb


@pytest.fixture(autouse=True)
def graph_mode():
    set_up(DeviceConfig(device_target="CPU"))


def jitter(count):
    rng = np.random.default_rng(0)
    factors = ColourFactors(*(rng.uniform(0.6, 1.4, count) for _ in range(3)), rng.uniform(-0.1, 0.1, count))
    return colour_matrices(IMAGENET, factors, rng.uniform(50, 200, count))


def test_planes_become_rgb_exactly():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 256, (4, 1, 32, 32), np.uint8)
    uv = rng.integers(0, 256, (4, 2, 16, 16), np.uint8)
    colour = jitter(4)
    expected = rgb_from_planes(y, uv, colour)
    actual = PlanesToRgb()(ms.Tensor(y), ms.Tensor(uv), ms.Tensor(colour)).asnumpy()
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, atol=1e-4)
