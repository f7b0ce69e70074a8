"""Tiny-DarkNet: images in, logits out."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from mindspore import Tensor, nn, ops

from tinydarknet.model.activation import LeakyReLU
from tinydarknet.model.architecture import HEAD_NAME, VARIANTS, LayerShape, Variant, VariantName, layer_shapes
from tinydarknet.model.pooling import MaxPool2x2


class ConvBlock(nn.Cell):
    """One layer: convolution, then batch norm and leaky ReLU or a bias, and 2x2 max pooling where the table has it.

    [B, in, H, W] to [B, out, H, W], or to [B, out, H/2, W/2] with pooling. The pool comes before the leaky ReLU:
    both are monotone, so the result is the same bit by bit, and the ReLU meets a quarter of the values.
    """

    def __init__(self, shape: LayerShape, traits: Variant, weight: np.ndarray, keep_argmax: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            shape.in_channels,
            shape.out_channels,
            shape.kernel,
            pad_mode="same",
            has_bias=not shape.normalized,
            weight_init=Tensor(weight),
            bias_init="zeros",
        )
        self.normalized = shape.normalized
        self.pooled = shape.pool
        if shape.normalized:
            self.bn = nn.BatchNorm2d(shape.out_channels, eps=traits.bn_epsilon)
            self.activation = LeakyReLU(traits.slope)
        if shape.pool:
            self.pool = MaxPool2x2(keep_argmax)

    def construct(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        x = self.conv(x)
        if self.normalized:
            x = self.bn(x)
        if self.pooled:
            x = self.pool(x)
        if self.normalized:
            x = self.activation(x)
        return x


class SpatialMean(nn.Cell):
    """The mean over all positions: [B, C, H, W] to [B, C, 1, 1]."""

    def construct(self, x: Tensor) -> Tensor:
        """Average each channel."""
        return ops.mean(x, (2, 3), True)


class TinyDarkNet(nn.SequentialCell):
    """The layers of `architecture.LAYERS` and a mean over positions: [B, 3, H, W] to logits [B, num_classes].

    Parameters are named as in ModelZoo's checkpoints (`conv1.conv.weight`, `conv1.bn.gamma`, ...).
    Initial weights are normal with variance 2 / fan-in, as Darknet draws them (make_convolutional_layer),
    and a function of `seed` alone: equal on every rank, device and MindSpore version.
    """

    def __init__(
        self, num_classes: int, variant: VariantName = "darknet", seed: int = 0, keep_argmax: bool = False
    ) -> None:
        """Build it; `keep_argmax` makes training on the CPU faster, see `pooling.MaxPool2x2`."""
        shapes = layer_shapes(num_classes, variant)
        traits = VARIANTS[variant]
        rng = np.random.default_rng(seed)
        cells: OrderedDict[str, nn.Cell] = OrderedDict()
        for shape in shapes:
            cells[shape.name] = ConvBlock(shape, traits, initial_weight(shape, rng), keep_argmax)
        cells["mean"] = SpatialMean()
        if not traits.normalized_head:
            # the head is linear, so the mean of its outputs is its output for the mean, at 1/196 of the work
            cells.move_to_end(HEAD_NAME)
        cells["flatten"] = nn.Flatten()
        super().__init__(cells)


def initial_weight(shape: LayerShape, rng: np.random.Generator) -> np.ndarray:
    """Normal with variance 2 / fan-in, float32 [out, in, kernel, kernel]."""
    size = (shape.out_channels, shape.in_channels, shape.kernel, shape.kernel)
    return (rng.standard_normal(size) * np.sqrt(2 / np.prod(size[1:]))).astype(np.float32)
