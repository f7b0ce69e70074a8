"""The network's first cells: what crosses the bus in, normalised RGB out.

All give float32 [B, 3, S, S], whatever precision the network behind them runs in.
"""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from tinydarknet.colour import Normalization
from tinydarknet.feed.mindspore import PlanesToRgb


class RgbImage(nn.Cell):
    """Images that the host has normalised: float32 [B, 3, S, S], unchanged."""

    def construct(self, image: Tensor) -> Tensor:
        """Return the image."""
        return image


class RgbPixels(nn.Cell):
    """RGB pixels of 0 to 255, uint8 or float32 [B, 3, S, S], normalised here."""

    def __init__(self, normalization: Normalization) -> None:
        super().__init__()
        scale = 1 / np.asarray(normalization.std)
        self.scale = Tensor(scale.reshape(1, 3, 1, 1), ms.float32)
        self.shift = Tensor((-np.asarray(normalization.mean) * scale).reshape(1, 3, 1, 1), ms.float32)

    def construct(self, pixels: Tensor) -> Tensor:
        """Compute (pixels - mean) / std."""
        return ops.cast(pixels, ms.float32) * self.scale + self.shift


INPUT_CELLS: dict[tuple[str, ...], type[nn.Cell]] = {
    ("y", "uv", "colour"): PlanesToRgb,
    ("image",): RgbImage,
}
"""The input cell for a feed's image columns."""


class Classifier(nn.Cell):
    """An input cell and the network behind it: the input cell's inputs to float32 logits [B, classes]."""

    def __init__(self, images: nn.Cell, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.images = images
        self.network = network

    def construct(self, *inputs: Tensor) -> Tensor:
        """Compute the logits."""
        return ops.cast(self.network(self.images(*inputs)), ms.float32)
