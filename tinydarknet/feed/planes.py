"""The hot loop: stored planes -> uint8 batches at the network's size, and a colour matrix for each image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tinydarknet.colour import ColourFactors, Normalization, colour_matrices, plain_matrix
from tinydarknet.feed.augment import Augmentation, Windows, centre_windows, draw
from tinydarknet.feed.order import PADDING_ID, PADDING_LABEL
from tinydarknet.feed.records import Records
from tinydarknet.feed.stream import Stream
from tinydarknet.feed.threaded import Batch

PLANE_COLUMNS = ("y", "uv", "colour", "label", "id")


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
    """Batches of planes from a yuv420 dataset; satisfies `BatchSource`.

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
    ) -> None:
        """Serve `stream`'s batches; without `augmentation`, the evaluation crop and plain colour."""
        if image_size < 2 or image_size % 2:
            raise ValueError(f"image_size must be even and at least 2, got {image_size}")
        self.steps = stream.steps
        self._records = records
        self._stream = stream
        self._size = image_size
        self._normalization = normalization
        self._plain = plain_matrix(normalization)
        self._augmentation = augmentation

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
        """Write batch number `step`, in [0, steps), into `batch`; padding rows repeat row 0 with label and id -1."""
        drawn = self.draw(step)
        self._records.will_need(drawn.rows)
        self.crop(drawn, batch)
        self.finish(drawn, batch)

    def draw(self, step: int) -> DrawnBatch:
        """Decide everything about batch number `step`; touches no image."""
        epoch, ids = self._stream.ids(step)
        rows = np.where(ids == PADDING_ID, 0, ids)
        heights, widths = self._records.heights[rows], self._records.widths[rows]
        if self._augmentation is None:
            return DrawnBatch(ids, rows, centre_windows(heights, widths), None)
        windows, factors = draw(self._augmentation, self._stream.seed, epoch, ids, heights, widths)
        return DrawnBatch(ids, rows, windows, factors)

    def crop(self, drawn: DrawnBatch, batch: Batch) -> None:
        """Fill `batch`'s y and uv."""
        resize_planes(self._records, drawn.rows, drawn.windows, batch["y"], batch["uv"])

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


def resize_planes(records: Records, rows: np.ndarray, windows: Windows, y: np.ndarray, uv: np.ndarray) -> None:
    """Crop, resize (bilinear) and mirror the planes of `rows` straight into a batch; OpenCV releases the GIL.

    Args:
        records: a yuv420 dataset.
        rows: int64 [B].
        windows: one per row.
        y: uint8 [B, 1, S, S], written.
        uv: uint8 [B, 2, S/2, S/2], written.
    """
    boxes = zip(
        rows.tolist(),
        records.heights[rows].tolist(),
        records.widths[rows].tolist(),
        windows.top.tolist(),
        windows.left.tolist(),
        windows.height.tolist(),
        windows.width.tolist(),
        windows.flip.tolist(),
        strict=True,
    )
    luma_scratch, chroma_scratch = np.empty_like(y[0, 0]), np.empty_like(uv[0, 0])
    for place, (row, height, width, top, left, crop_height, crop_width, flip) in enumerate(boxes):
        payload = records.payload(row)
        luma_end = height * width
        luma = payload[:luma_end].reshape(height, width)
        chroma = payload[luma_end:].reshape(2, height // 2, width // 2)
        _resize(luma[top : top + crop_height, left : left + crop_width], y[place, 0], flip, luma_scratch)
        down = slice(top // 2, (top + crop_height) // 2)
        across = slice(left // 2, (left + crop_width) // 2)
        _resize(chroma[0, down, across], uv[place, 0], flip, chroma_scratch)
        _resize(chroma[1, down, across], uv[place, 1], flip, chroma_scratch)


def _resize(window: np.ndarray, out: np.ndarray, flip: bool, scratch: np.ndarray) -> None:
    size = out.shape[::-1]
    if flip:
        cv2.flip(cv2.resize(window, size, dst=scratch), 1, dst=out)
    else:
        cv2.resize(window, size, dst=out)
