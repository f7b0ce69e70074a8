"""Progressive resizing: at which image size each epoch trains, as pure functions; small images first are cheaper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Segment:
    """Steps [first_step, last_step) of a run, whose images are of one size; begins and ends with an epoch unless resumed."""

    first_step: int
    last_step: int
    image_size: int
    """Side, pixels."""


def size_of_epoch(sizes: Sequence[int], epoch: int, epochs: int) -> int:
    """The image size at `epoch` in [0, epochs): number floor(epoch * len(sizes) / epochs) of `sizes`.

    So each of n sizes gets a share of 1 / n of the epochs, and one that is named twice gets twice as many.
    """
    return sizes[epoch * len(sizes) // epochs]


def segments(sizes: Sequence[int], epochs: int, steps_per_epoch: int, first_step: int) -> list[Segment]:
    """The rest of a run from `first_step` on, cut where the image size changes; sizes that never fall come once each."""
    found: list[Segment] = []
    for epoch in range(first_step // steps_per_epoch, epochs):
        size, end = size_of_epoch(sizes, epoch, epochs), (epoch + 1) * steps_per_epoch
        begin = max(first_step, epoch * steps_per_epoch)
        if found and found[-1].image_size == size:
            begin = found.pop().first_step
        found.append(Segment(begin, end, size))
    return found


def step_costs(sizes: Sequence[int], epochs: int, steps_per_epoch: int) -> np.ndarray:
    """What each step of a run costs beside one at the last size, by its pixels; float64 [epochs * steps_per_epoch]."""
    sides = np.array([size_of_epoch(sizes, epoch, epochs) for epoch in range(epochs)], np.float64)
    return np.repeat((sides / sizes[-1]) ** 2, steps_per_epoch)
