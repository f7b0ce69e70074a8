"""Stored planes -> uint8 batches at the network's size."""

from __future__ import annotations

import numpy as np

from tinydarknet.feed.augment import Windows
from tinydarknet.feed.kernels import resize_windows
from tinydarknet.feed.records import Records


def resize_planes(records: Records, rows: np.ndarray, windows: Windows, y: np.ndarray, uv: np.ndarray) -> None:
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
