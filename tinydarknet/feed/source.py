"""One batch of planes: drawn, cropped, and given its colour matrices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinydarknet.colour import Normalization, colour_matrices, plain_matrix
from tinydarknet.feed.augment import Windows
from tinydarknet.feed.drawing import Drawing, DrawnBatch
from tinydarknet.feed.jpeg import decode_planes
from tinydarknet.feed.kernels import luma_means
from tinydarknet.feed.planes import resize_planes
from tinydarknet.feed.records import Records
from tinydarknet.feed.threaded import Batch

PLANE_COLUMNS = ("y", "uv", "colour", "label", "id")

Cropper = Callable[[Records, np.ndarray, Windows, np.ndarray, np.ndarray], None]
"""Writes the windows of rows int64 [B] into y uint8 [B, 1, S, S] and uv uint8 [B, 2, S/2, S/2]."""

CROPPERS: dict[str, Cropper] = {"yuv420": resize_planes, "jpeg": decode_planes, "original": decode_planes}
"""By the dataset's encoding."""


class PlanesSource:
    """Batches of planes from a dataset in any encoding; satisfies `BatchSource`.

    A batch is y uint8 [B, 1, S, S], uv uint8 [B, 2, S/2, S/2], colour float32 [B, 3, 4], label int32 [B], id int64 [B].
    """

    columns: tuple[str, ...] = PLANE_COLUMNS

    def __init__(self, drawing: Drawing, normalization: Normalization) -> None:
        self.steps = drawing.stream.steps
        self.drawing = drawing
        self._crop = CROPPERS[drawing.records.manifest.encoding.name]
        self._normalization = normalization
        self._plain = plain_matrix(normalization)

    def allocate(self) -> Batch:
        """Return uninitialised arrays for one batch."""
        rows, size = self.drawing.stream.batch_size, self.drawing.image_size
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
        drawn = self.drawing.pixels(step, lambda drawn: self.crop(drawn, batch))
        self.finish(drawn, batch)

    def crop(self, drawn: DrawnBatch, batch: Batch) -> None:
        """Fill `batch`'s y and uv."""
        self._crop(self.drawing.records, drawn.rows, drawn.windows, batch["y"], batch["uv"])

    def finish(self, drawn: DrawnBatch, batch: Batch) -> None:
        """Fill `batch`'s colour, label and id; contrast needs the luma that `crop` has written."""
        if drawn.factors is None:
            batch["colour"][:] = self._plain
        else:
            batch["colour"][:] = colour_matrices(self._normalization, drawn.factors, luma_means(batch["y"]))
        self.drawing.name(drawn, batch)
