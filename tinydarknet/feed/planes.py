"""Stored planes -> uint8 batches at the network's size."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from convert.dataset import Dataset
from tinydarknet.colour import Normalization, colour_matrices, plain_matrix
from tinydarknet.feed.augment import Windows
from tinydarknet.feed.batch_plan import Drawing, DrawnBatch
from tinydarknet.feed.damage import UndecodableRowError
from tinydarknet.feed.kernels import luma_means, resize_windows
from tinydarknet.feed.prefetch import Batch

_AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
"""The converter has applied every EXIF orientation."""


def decode_stored(records: Dataset, row: int, *, halved: bool = False) -> np.ndarray:
    """The whole image of a row as it is stored, uint8 [H, W, 3] BGR, or at half its size, rounded up.

    Raises:
        UndecodableRowError: it does not decode, or not to the size that the index gives.
    """
    shrink = 2 if halved else 1
    try:
        pixels = cv2.imdecode(records.payload(row), _AS_STORED | (cv2.IMREAD_REDUCED_COLOR_2 if halved else 0))
    except cv2.error as error:  # a header that promises more pixels than OpenCV takes
        raise UndecodableRowError(row) from error
    if pixels is None or pixels.shape[:2] != (-(-records.heights[row] // shrink), -(-records.widths[row] // shrink)):
        raise UndecodableRowError(row)
    return pixels


def decode_planes(records: Dataset, rows: np.ndarray, windows: Windows, y: np.ndarray, uv: np.ndarray) -> None:
    """Decode, crop, resize and mirror the images of `rows` into a batch; OpenCV releases the GIL.

    libjpeg halves the image while decoding when the window is at least twice as large as what comes out.
    Windows are interpolated linearly, as the reference does; evaluation's, where they shrink, are averaged by area,
    as the converter does it for planes.

    Args:
        records: a jpeg or original dataset.
        rows: int64 [B].
        windows: one per row, in pixels of the stored image.
        y: uint8 [B, 1, S, S], written.
        uv: uint8 [B, 2, S/2, S/2], written.

    Raises:
        UndecodableRowError: names the row.
    """
    side = y.shape[-1]
    half = (side // 2, side // 2)
    boxes = zip(
        rows.tolist(),
        windows.top.tolist(),
        windows.left.tolist(),
        windows.height.tolist(),
        windows.width.tolist(),
        windows.flip.tolist(),
        strict=True,
    )
    for place, (row, top, left, height, width, flip) in enumerate(boxes):
        shrink = 2 if min(height, width) >= 2 * side else 1
        pixels = decode_stored(records, row, halved=shrink == 2)
        down = slice(top // shrink, (top + height) // shrink)
        across = slice(left // shrink, (left + width) // shrink)
        by_area = windows.smooth and min(height, width) > side * shrink
        window = cv2.resize(
            pixels[down, across], (side, side), interpolation=cv2.INTER_AREA if by_area else cv2.INTER_LINEAR
        )
        luma, cr, cb = cv2.split(cv2.cvtColor(cv2.flip(window, 1) if flip else window, cv2.COLOR_BGR2YCrCb))
        y[place, 0] = luma
        cv2.resize(cb, half, dst=uv[place, 0], interpolation=cv2.INTER_AREA)
        cv2.resize(cr, half, dst=uv[place, 1], interpolation=cv2.INTER_AREA)


def resize_planes(records: Dataset, rows: np.ndarray, windows: Windows, y: np.ndarray, uv: np.ndarray) -> None:
    """Crop, resize (bilinear) and mirror the planes of `rows` straight into a batch, without the interpreter lock.

    Args:
        records: a yuv420 dataset.
        rows: int64 [B].
        windows: one per row.
        y: uint8 [B, 1, S, S], written.
        uv: uint8 [B, 2, S/2, S/2], written.
    """
    luma = records.addresses(rows)
    strides = records.widths[rows]
    luma_bytes = records.heights[rows] * strides
    to_luma = windows.top * strides + windows.left
    resize_windows(luma + to_luma.astype(np.uintp), luma_bytes, strides, windows.height, windows.width, windows.flip, y)
    to_chroma = luma_bytes + windows.top // 2 * (strides // 2) + windows.left // 2
    resize_windows(
        luma + to_chroma.astype(np.uintp),
        luma_bytes // 4,
        strides // 2,
        windows.height // 2,
        windows.width // 2,
        windows.flip,
        uv,
    )


PLANE_COLUMNS = ("y", "uv", "colour", "label", "id")

Cropper = Callable[[Dataset, np.ndarray, Windows, np.ndarray, np.ndarray], None]
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
