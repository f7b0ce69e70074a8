"""The leaky ReLU, with a backward pass that costs what ReLU's does."""

from __future__ import annotations

from mindspore import Tensor, nn, ops
from mindspore.ops.operations import _grad_ops  # ReLU's gradient kernel has no public name


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
