"""The loss: softmax cross-entropy with smoothed labels."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops


class SmoothedCrossEntropy(nn.Cell):
    """The mean over a batch of the cross-entropy against smoothed labels; logits [B, C], labels int32 [B].

    The reference's form: the right class weighs 1 - s, each other class s / (C - 1) (Szegedy et al. 2016 spread
    s over all C classes). Computed in float32.

    Raises:
        ValueError: the factor is outside [0, 1), or there are fewer than two classes.
    """

    def __init__(self, num_classes: int, label_smooth_factor: float) -> None:
        super().__init__()
        if not 0 <= label_smooth_factor < 1:
            raise ValueError(f"label_smooth_factor must be in [0, 1), got {label_smooth_factor}")
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, got {num_classes}")
        self.num_classes = num_classes
        self.on_value = Tensor(1 - label_smooth_factor, ms.float32)
        self.off_value = Tensor(label_smooth_factor / (num_classes - 1), ms.float32)
        self.cross_entropy = ops.SoftmaxCrossEntropyWithLogits()

    def construct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss, a float32 scalar."""
        targets = ops.one_hot(labels, self.num_classes, self.on_value, self.off_value)
        losses, _ = self.cross_entropy(ops.cast(logits, ms.float32), targets)
        return ops.mean(losses)
