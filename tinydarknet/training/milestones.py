"""At which steps a run stops to evaluate or to save, as pure functions of counts of steps."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Milestones:
    """The steps of a run at which something beside training happens; all counted in updates done."""

    steps_per_epoch: int
    total_steps: int
    checkpoint_every: int
    evaluate_every: int
    """0 for never."""

    def saves_after(self, step: int) -> bool:
        """Whether a checkpoint is due after `step` updates."""
        return step % self.checkpoint_every == 0 or step == self.total_steps

    def evaluates_after(self, step: int) -> bool:
        """Whether an evaluation is due after `step` updates."""
        return self.evaluate_every > 0 and (step % self.evaluate_every == 0 or step == self.total_steps)

    def stretch(self, first_step: int, last_step: int) -> int:
        """The longest number of steps that the device may run by itself from `first_step` on, towards `last_step`.

        It divides every milestone's distance, and epochs', so that a run of such stretches meets each one.
        """
        distances = (
            last_step - first_step,
            self.checkpoint_every - first_step % self.checkpoint_every,
            self.checkpoint_every,
            self.steps_per_epoch,
            self.evaluate_every,
        )
        return math.gcd(*distances)
