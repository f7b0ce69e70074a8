"""Tiny-DarkNet: images in, logits out."""

from __future__ import annotations

from collections import OrderedDict

import mindspore as ms
import numpy as np
from mindspore import Tensor, amp, mint, nn, ops
from mindspore.ops.operations import _grad_ops  # ReLU's gradient kernel has no public name

from tinydarknet.model.architecture import HEAD_NAME, VARIANTS, LayerShape, Variant, VariantName, layer_shapes


class MaxPool2x2(nn.Cell):
    """2x2 max pool with stride 2: [B, C, H, W] to [B, C, H/2, W/2], H and W even."""

    def __init__(self, keep_argmax: bool) -> None:
        """With `keep_argmax`, training remembers where each maximum was.

        That is for the CPU alone, whose MaxPoolGrad computes the pool again: on 32x16x224x224 forward and backward
        take 182 ms with it and 521 ms without. Inference and exports use the plain pool always.
        """
        super().__init__()
        self.keep_argmax = keep_argmax
        self.pool = ops.MaxPool(kernel_size=2, strides=2, pad_mode="same")
        if keep_argmax:
            # MindSpore calls it deprecated; its successor takes nearly twice as long
            self.pool_with_argmax = ops.MaxPoolWithArgmax(kernel_size=2, strides=2, pad_mode="same")

    def construct(self, x: Tensor) -> Tensor:
        """Apply the pool."""
        if self.training and self.keep_argmax:
            return self.pool_with_argmax(x)[0]
        return self.pool(x)


class LeakyReLU(nn.Cell):
    """x where x >= 0, slope * x elsewhere; any shape, float16 or float32.

    nn.LeakyReLU differentiates max(x, slope * x) through MaximumGrad, which on the CPU takes almost as long as all
    convolutions together. Here the gradient is (1 - slope) * relu'(out) * d + slope * d.

    Raises:
        ValueError: the slope is outside (0, 1).
    """

    def __init__(self, slope: float) -> None:
        super().__init__()
        if not 0 < slope < 1:
            raise ValueError(f"slope must be in (0, 1), got {slope}")
        self.slope = slope
        self.relu_gradient = _grad_ops.ReluGrad()

    def construct(self, x: Tensor) -> Tensor:
        """Apply it."""
        return ops.maximum(x, x * self.slope)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002
        """The gradient with respect to x."""
        return (self.relu_gradient(dout, out) * (1 - self.slope) + dout * self.slope,)


class FusedLeakyReLU(nn.Cell):
    """The same by one operator with a gradient of its own, where the CPU's form would be two kernels and four."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def construct(self, x: Tensor) -> Tensor:
        """Apply it."""
        return mint.nn.functional.leaky_relu(x, self.slope)


class ConvBlock(nn.Cell):
    """One layer: convolution, then batch norm and leaky ReLU or a bias, and 2x2 max pooling where the table has it.

    [B, in, H, W] to [B, out, H, W], or to [B, out, H/2, W/2] with pooling. The pool comes before the leaky ReLU:
    both are monotone, so the result is the same bit by bit, and the ReLU meets a quarter of the values.
    """

    def __init__(
        self, shape: LayerShape, traits: Variant, weight: np.ndarray, keep_argmax: bool, fused: bool = False
    ) -> None:
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
            self.activation = FusedLeakyReLU(traits.slope) if fused else LeakyReLU(traits.slope)
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
        self,
        num_classes: int,
        variant: VariantName = "darknet",
        seed: int = 0,
        keep_argmax: bool = False,
        fused: bool = False,
    ) -> None:
        """Build it; `keep_argmax` makes training on the CPU faster, see `MaxPool2x2`, `fused` that on Ascend."""
        shapes = layer_shapes(num_classes, variant)
        traits = VARIANTS[variant]
        rng = np.random.default_rng(seed)
        cells: OrderedDict[str, nn.Cell] = OrderedDict()
        for shape in shapes:
            cells[shape.name] = ConvBlock(shape, traits, initial_weight(shape, rng), keep_argmax, fused)
        cells["mean"] = SpatialMean()
        if not traits.normalized_head:
            # the head is linear, so the mean of its outputs is its output for the mean, at 1/196 of the work
            cells.move_to_end(HEAD_NAME)
        cells["flatten"] = nn.Flatten()
        super().__init__(cells)


def lower_precision(network: nn.Cell, amp_level: str, amp_dtype: str) -> None:
    """Let `network` compute in mixed precision, in place; "O0" changes nothing."""
    if amp_level != "O0":
        amp.auto_mixed_precision(network, amp_level, getattr(ms, amp_dtype))


def initial_weight(shape: LayerShape, rng: np.random.Generator) -> np.ndarray:
    """Normal with variance 2 / fan-in, float32 [out, in, kernel, kernel]."""
    size = (shape.out_channels, shape.in_channels, shape.kernel, shape.kernel)
    return (rng.standard_normal(size) * np.sqrt(2 / np.prod(size[1:]))).astype(np.float32)
