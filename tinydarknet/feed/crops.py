"""Stored payloads -> the uint8 planes of a batch: one cropper for each encoding, all with one signature.

A cropper writes the windows of a batch's rows into `y` and `uv`, and raises UndecodableRowError for a row that it cannot
read; it is called from several threads at once, each with its own batch. This is all that the feed knows about an
encoding: a new one, or a faster decoder, is a function beside these and a line in `CROPPERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import cv2
import numpy as np
import simplejpeg

from convert.dataset import Dataset
from tinydarknet.feed.augment import Windows
from tinydarknet.feed.damage import UndecodableRowError
from tinydarknet.feed.kernels import resize_windows

_AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
"""The converter has applied every EXIF orientation."""


def decode_stored(records: Dataset, row: int, *, halved: bool = False) -> np.ndarray:
    """The whole image of a row as it is stored, uint8 [H, W, 3] BGR, or at half its size, rounded up.

    Raises:
        UndecodableRowError: it does not decode, or not to the size that the index gives.
    """
    payload, size = records.payload(row), (records.heights[row], records.widths[row])
    with suppress(ValueError):  # no JPEG
        # before gigabytes are decoded of what a damaged header promises
        if simplejpeg.decode_jpeg_header(payload, strict=False)[:2] != size:
            raise UndecodableRowError(row)
    shrink = 2 if halved else 1
    try:
        pixels = cv2.imdecode(payload, _AS_STORED | (cv2.IMREAD_REDUCED_COLOR_2 if halved else 0))
    except cv2.error as error:  # a header that promises more pixels than OpenCV takes
        raise UndecodableRowError(row) from error
    if pixels is None or pixels.shape[:2] != tuple(-(-side // shrink) for side in size):
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


Cropper = Callable[[Dataset, np.ndarray, Windows, np.ndarray, np.ndarray], None]
"""Writes the windows of rows int64 [B] into y uint8 [B, 1, S, S] and uv uint8 [B, 2, S/2, S/2]."""

CROPPERS: dict[str, Cropper] = {"yuv420": resize_planes, "jpeg": decode_planes, "original": decode_planes}
"""By the dataset's encoding."""
