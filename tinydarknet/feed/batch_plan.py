"""What each batch will hold, before any image is touched: ids, labels, rows, crop windows, colour factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinydarknet.colour import ColourFactors
from tinydarknet.feed.augment import Augmentation, Windows, centre_windows, draw
from tinydarknet.feed.damage import RowHealth
from tinydarknet.feed.order import PADDING, PADDING_LABEL, Stream

if TYPE_CHECKING:
    from convert.dataset import Dataset

READ_AHEAD_STEPS = 4
"""How far the disk works ahead of the crops: 66 MB at batch 128 and 130 KB an image."""


@dataclass(frozen=True)
class BatchPlan:
    """One batch's decisions."""

    rows: np.ndarray
    """Where the images lie, int64 [B]; row 0 in place of padding."""
    ids: np.ndarray
    """int64 [B]; PADDING where there is no image."""
    labels: np.ndarray
    """int32 [B]; PADDING_LABEL where there is no image."""
    windows: Windows
    factors: ColourFactors | None
    """None in evaluation."""


@dataclass(frozen=True)
class Planner:
    """Plans the batches of one stream over one dataset: a function of the step and of the rows known to be damaged."""

    dataset: Dataset
    stream: Stream
    augmentation: Augmentation | None
    """None for evaluation: the centre crop and plain colour."""
    health: RowHealth

    def plan(self, step: int) -> BatchPlan:
        """Decide everything about batch number `step`, in [0, steps).

        Raises:
            UserError: a shard has been cut short meanwhile, or an image is damaged and no more may be replaced.
        """
        dataset = self.dataset
        epoch, wanted = self.stream.batch_rows(step)
        padding = wanted == PADDING
        rows = self.health.replace_damaged(np.where(padding, 0, wanted))
        dataset.check_present(rows)
        ids = np.where(padding, PADDING, dataset.ids[rows])
        labels = np.where(padding, PADDING_LABEL, dataset.labels[rows])
        heights, widths = dataset.heights[rows], dataset.widths[rows]
        if self.augmentation is None:
            return BatchPlan(rows, ids, labels, centre_windows(heights, widths), None)
        return BatchPlan(rows, ids, labels, *draw(self.augmentation, self.stream.seed, epoch, ids, heights, widths))

    def read_ahead(self, step: int) -> None:
        """Let the kernel begin to read the images of a later step; of the first steps, when there is no earlier one."""
        begin = step if step == 0 else step + READ_AHEAD_STEPS
        for later in range(begin, min(step + READ_AHEAD_STEPS + 1, self.stream.steps)):
            _, rows = self.stream.batch_rows(later)
            self.dataset.will_need(rows[rows != PADDING])
