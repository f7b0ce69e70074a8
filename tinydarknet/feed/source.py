"""One batch of planes: what it holds is drawn, its images are cropped, its colour is worked out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from tinydarknet.colour import ColourFactors, Normalization, colour_matrices, plain_matrix
from tinydarknet.feed.augment import Augmentation, Windows, centre_windows, draw
from tinydarknet.feed.health import RowHealth
from tinydarknet.feed.jpeg import UndecodableRowError, decode_planes
from tinydarknet.feed.order import PADDING_ID, PADDING_LABEL
from tinydarknet.feed.planes import resize_planes
from tinydarknet.feed.records import Records
from tinydarknet.feed.stream import Stream
from tinydarknet.feed.threaded import Batch

PLANE_COLUMNS = ("y", "uv", "colour", "label", "id")

Cropper = Callable[[Records, np.ndarray, Windows, np.ndarray, np.ndarray], None]
"""Writes the windows of rows int64 [B] into y uint8 [B, 1, S, S] and uv uint8 [B, 2, S/2, S/2]."""

CROPPERS: dict[str, Cropper] = {"yuv420": resize_planes, "jpeg": decode_planes, "original": decode_planes}
"""By the dataset's encoding."""


@dataclass(frozen=True)
class DrawnBatch:
    """What a batch will hold, before any image is touched; int64 [B] each."""

    ids: np.ndarray
    rows: np.ndarray
    """The ids, with row 0 in place of padding."""
    windows: Windows
    factors: ColourFactors | None
    """None in evaluation."""


class PlanesSource:
    """Batches of planes from a dataset in any encoding; satisfies `BatchSource`.

    A batch is y uint8 [B, 1, S, S], uv uint8 [B, 2, S/2, S/2], colour float32 [B, 3, 4], label int32 [B], id int64 [B].
    """

    columns: tuple[str, ...] = PLANE_COLUMNS

    def __init__(
        self,
        records: Records,
        stream: Stream,
        image_size: int,
        normalization: Normalization,
        augmentation: Augmentation | None,
        health: RowHealth,
    ) -> None:
        """Serve `stream`'s batches; without `augmentation`, the evaluation crop and plain colour."""
        if image_size < 2 or image_size % 2:
            raise ValueError(f"image_size must be even and at least 2, got {image_size}")
        self.steps = stream.steps
        self._records = records
        self._crop = CROPPERS[records.manifest.encoding.name]
        self._stream = stream
        self._size = image_size
        self._normalization = normalization
        self._plain = plain_matrix(normalization)
        self._augmentation = augmentation
        self.health = health

    def allocate(self) -> Batch:
        """Return one batch of uninitialised arrays."""
        rows, size = self._stream.batch_size, self._size
        return {
            "y": np.empty((rows, 1, size, size), np.uint8),
            "uv": np.empty((rows, 2, size // 2, size // 2), np.uint8),
            "colour": np.empty((rows, 3, 4), np.float32),
            "label": np.empty(rows, np.int32),
            "id": np.empty(rows, np.int64),
        }

    def fill(self, step: int, batch: Batch) -> None:
        """Write batch number `step`, in [0, steps), into `batch`; padding rows repeat row 0 with label and id -1.

        Raises:
            UserError: an image is damaged, and no more may be replaced.
        """
        while True:
            drawn = self.draw(step)
            self._records.will_need(drawn.rows)
            try:
                self.crop(drawn, batch)
            except UndecodableRowError as error:
                self.health.report(error.row, "is damaged, it does not decode")
            else:
                break
        self.finish(drawn, batch)

    def draw(self, step: int) -> DrawnBatch:
        """Decide everything about batch number `step`; touches no image that the health policy does not check."""
        epoch, ids = self._stream.ids(step)
        padding = ids == PADDING_ID
        rows = self.health.sound(np.where(padding, 0, ids))
        ids = np.where(padding, PADDING_ID, rows)
        heights, widths = self._records.heights[rows], self._records.widths[rows]
        if self._augmentation is None:
            return DrawnBatch(ids, rows, centre_windows(heights, widths), None)
        windows, factors = draw(self._augmentation, self._stream.seed, epoch, ids, heights, widths)
        return DrawnBatch(ids, rows, windows, factors)

    def crop(self, drawn: DrawnBatch, batch: Batch) -> None:
        """Fill `batch`'s y and uv."""
        self._crop(self._records, drawn.rows, drawn.windows, batch["y"], batch["uv"])

    def finish(self, drawn: DrawnBatch, batch: Batch) -> None:
        """Fill `batch`'s colour, label and id; contrast needs the luma that `crop` has written."""
        if drawn.factors is None:
            batch["colour"][:] = self._plain
        else:
            batch["colour"][:] = colour_matrices(self._normalization, drawn.factors, luma_means(batch["y"]))
        batch["label"][:] = np.where(drawn.ids == PADDING_ID, PADDING_LABEL, self._records.labels[drawn.rows])
        batch["id"][:] = drawn.ids


def luma_means(y: np.ndarray) -> np.ndarray:
    """Mean grey level of every luma plane, float64 [B], for y uint8 [B, 1, S, S]."""
    return np.array([cv2.mean(plane[0])[0] for plane in y])
