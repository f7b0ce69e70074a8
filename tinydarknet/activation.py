"""The leaky ReLU."""

from __future__ import annotations

from mindspore import nn


class LeakyReLU(nn.LeakyReLU):
    """x where x >= 0, slope * x elsewhere; any shape, float16 or float32."""

    def __init__(self, slope: float) -> None:
        super().__init__(alpha=slope)
