"""Loss scales: a fixed one, and one that follows overflows."""

from __future__ import annotations

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

GROWTH_FACTOR = 2.0
GROWTH_STEPS = 2000
"""Sound steps after which the scale doubles; both as in the reference (DynamicLossScaleManager)."""


class DynamicLossScale(nn.Cell):
    """A loss scale that halves at each overflow, never below 1, and doubles after GROWTH_STEPS sound steps in a row."""

    def __init__(self, initial: float) -> None:
        super().__init__(auto_prefix=False)
        self.value = Parameter(Tensor(initial, ms.float32), name="loss_scale.value", requires_grad=False)
        self.sound_steps = Parameter(Tensor(0, ms.int32), name="loss_scale.sound_steps", requires_grad=False)

    def construct(self, finite: Tensor) -> Tensor:
        """Take note of whether a step's gradients were finite (bool scalar); returns the new scale."""
        steps = ops.select(finite, self.sound_steps + 1, ops.zeros_like(self.sound_steps))
        grows = steps >= GROWTH_STEPS
        grown = ops.select(grows, self.value * GROWTH_FACTOR, self.value * 1.0)
        lowered = ops.maximum(self.value / GROWTH_FACTOR, ops.ones_like(self.value))
        value = ops.select(finite, grown, lowered)
        steps = ops.select(grows, ops.zeros_like(steps), steps)
        return ops.depend(value, (ops.assign(self.sound_steps, steps), ops.assign(self.value, value)))


def all_finite(gradients: tuple[Tensor, ...]) -> Tensor:
    """Whether no gradient holds infinity or NaN, a bool scalar."""
    sound = ops.isfinite(gradients[0]).all()
    for gradient in gradients[1:]:
        sound = ops.logical_and(sound, ops.isfinite(gradient).all())
    return sound
