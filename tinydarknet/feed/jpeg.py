"""Stored JPEGs -> the same planes: decoded on the host, for datasets that keep their images compressed."""

from __future__ import annotations

import cv2
import numpy as np

from tinydarknet.feed.augment import Windows
from tinydarknet.feed.records import Records

_AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
"""The converter has applied every EXIF orientation."""


class UndecodableRowError(Exception):
    """A stored image that does not decode, or not to the size that the index gives."""

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row} does not decode")
        self.row = row


def decode_planes(records: Records, rows: np.ndarray, windows: Windows, y: np.ndarray, uv: np.ndarray) -> None:
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
        pixels = cv2.imdecode(records.payload(row), _AS_STORED | (cv2.IMREAD_REDUCED_COLOR_2 if shrink == 2 else 0))
        stored = (-(-int(records.heights[row]) // shrink), -(-int(records.widths[row]) // shrink))
        if pixels is None or pixels.shape[:2] != stored:
            raise UndecodableRowError(row)
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
