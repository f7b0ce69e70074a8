"""The hot loop: stored planes -> uint8 batches at the network's size."""

from __future__ import annotations

import cv2
import numpy as np

from tinydarknet.feed.augment import Windows
from tinydarknet.feed.records import Records


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
