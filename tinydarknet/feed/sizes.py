"""Progressive resizing: which image side each epoch trains at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageSizes:
    """Image sides in pixels, each from an epoch on; small images first train the early epochs faster."""

    sides: tuple[int, ...]
    """Even pixels."""
    from_epochs: tuple[int, ...] = (0,)
    """The epoch, counted from 0, at which each side begins; the first is 0, and they rise."""

    def __post_init__(self) -> None:
        if any(side < 2 or side % 2 for side in self.sides) or not self.sides:
            raise ValueError(f"image sizes must be even and at least 2, got {self.sides}")
        if len(self.from_epochs) != len(self.sides):
            raise ValueError(f"every image size needs the epoch it begins at, got {self.sides} and {self.from_epochs}")
        if self.from_epochs[0] != 0 or any(
            a >= b for a, b in zip(self.from_epochs, self.from_epochs[1:], strict=False)
        ):
            raise ValueError(f"the epochs of image sizes must begin with 0 and rise, got {self.from_epochs}")

    def at(self, epoch: int) -> int:
        """The side at an epoch."""
        return next(
            side for side, begin in zip(reversed(self.sides), reversed(self.from_epochs), strict=True) if begin <= epoch
        )
