"""Stored payloads -> the uint8 planes of a batch: one cropper for each encoding, all with one signature.

A cropper writes the windows of a batch's rows into `y` and `uv`, and raises UndecodableRowError for a row that it cannot
read; it is called from several threads at once, each with its own batch. This is all that the feed knows about an
encoding: a new one, or a faster decoder, is a function beside these and a line in `CROPPERS`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convert.dataset import Dataset
from tinydarknet.feed.augment import Windows
from tinydarknet.feed.jpeg_planes import decode_windows
from tinydarknet.feed.kernels import resize_windows


def resize_planes(dataset: Dataset, rows: np.ndarray, windows: Windows, y: np.ndarray, uv: np.ndarray) -> None:
    """Crop, resize (bilinear) and mirror the planes of `rows` straight into a batch, without the interpreter lock.

    Args:
        dataset: a yuv420 dataset.
        rows: int64 [B].
        windows: one per row.
        y: uint8 [B, 1, S, S], written.
        uv: uint8 [B, 2, S/2, S/2], written.
    """
    luma = dataset.addresses(rows)
    strides = dataset.widths[rows]
    luma_bytes = dataset.heights[rows] * strides
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

CROPPERS: dict[str, Cropper] = {"yuv420": resize_planes, "jpeg": decode_windows, "original": decode_windows}
"""By the dataset's encoding."""
