"""The 2x2 max pool."""

from __future__ import annotations

from mindspore import Tensor, nn, ops


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
