"""What each batch will hold, before any image is touched: ids, rows, crop windows, colour factors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from convert.dataset import Dataset
from tinydarknet.colour import ColourFactors
from tinydarknet.feed.augment import Augmentation, Windows, centre_windows, draw
from tinydarknet.feed.damage import RowHealth, UndecodableRowError
from tinydarknet.feed.order import PADDING, PADDING_LABEL, Stream
from tinydarknet.feed.prefetch import Batch

READ_AHEAD_STEPS = 4
"""How far the disk works ahead of the crops: 66 MB at batch 128 and 130 KB an image."""


@dataclass(frozen=True)
class DrawnBatch:
    """One batch's decisions; int64 [B] each."""

    ids: np.ndarray
    rows: np.ndarray
    """Where the images lie; row 0 in place of padding."""
    windows: Windows
    factors: ColourFactors | None
    """None in evaluation."""


@dataclass(frozen=True)
class Drawing:
    """Draws the batches of one stream over one dataset."""

    records: Dataset
    stream: Stream
    image_size: int
    """Side of what comes out, even pixels."""
    augmentation: Augmentation | None
    """None for evaluation: the centre crop and plain colour."""
    health: RowHealth

    def draw(self, step: int) -> DrawnBatch:
        """Decide everything about batch number `step`, in [0, steps).

        Raises:
            UserError: a shard has been cut short meanwhile, or an image is damaged and no more may be replaced.
        """
        epoch, wanted = self.stream.batch_rows(step)
        padding = wanted == PADDING
        rows = self.health.sound(np.where(padding, 0, wanted))
        self.records.check_present(rows)
        ids = np.where(padding, PADDING, self.records.ids[rows])
        heights, widths = self.records.heights[rows], self.records.widths[rows]
        if self.augmentation is None:
            return DrawnBatch(ids, rows, centre_windows(heights, widths), None)
        windows, factors = draw(self.augmentation, self.stream.seed, epoch, ids, heights, widths)
        return DrawnBatch(ids, rows, windows, factors)

    def pixels(self, step: int, make: Callable[[DrawnBatch], None]) -> DrawnBatch:
        """Decide about batch number `step` and let `make` write its pixels, once more for each image that has to be replaced.

        Args:
            step: in [0, steps).
            make: raises UndecodableRowError for an image that does not decode.

        Raises:
            UserError: see `draw`.
        """
        self.read_ahead(step)
        while True:
            drawn = self.draw(step)
            try:
                make(drawn)
            except UndecodableRowError as error:
                self.health.report(error.row, "is damaged, it does not decode")
            else:
                return drawn

    def read_ahead(self, step: int) -> None:
        """Let the kernel begin to read the images of a later step; of the first steps, when there is no earlier one."""
        begin = step if step == 0 else step + READ_AHEAD_STEPS
        for later in range(begin, min(step + READ_AHEAD_STEPS + 1, self.stream.steps)):
            _, rows = self.stream.batch_rows(later)
            self.records.will_need(rows[rows != PADDING])

    def name(self, drawn: DrawnBatch, batch: Batch) -> None:
        """Fill `batch`'s label and id."""
        batch["label"][:] = np.where(drawn.ids == PADDING, PADDING_LABEL, self.records.labels[drawn.rows])
        batch["id"][:] = drawn.ids
