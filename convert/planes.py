"""Images as Y, U and V planes: how they are made, laid out, and turned back into RGB.

Full-range BT.601 as in JFIF 1.02: Y = 0.299 R + 0.587 G + 0.114 B, U = Cb = 128 + 0.564 (B - Y),
V = Cr = 128 + 0.713 (R - Y). A stored image is Y [H, W], then U, then V, each [H/2, W/2], row-major,
no padding; H and W are even.
"""

from __future__ import annotations

import numpy as np


def stored_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Even height and width of the planes of an image: never enlarged, never below 2.

    Args:
        height: of the source, pixels.
        width: of the source, pixels.
        short_side: longest allowed short side, pixels; 0 keeps the size.
    """
    scale = min(1.0, short_side / min(height, width)) if short_side else 1.0
    return _even(height * scale, height), _even(width * scale, width)


def _even(wanted: float, available: int) -> int:
    return max(2, min(2 * int(wanted / 2 + 0.5), available // 2 * 2))


def planes_bytes(height: int, width: int) -> int:
    """Size of a stored image of even height and width."""
    return height * width * 3 // 2


def from_ycc(ycc: np.ndarray, short_side: int) -> tuple[np.ndarray, int, int]:
    """Resize and subsample an interleaved YCbCr image.

    Args:
        ycc: uint8 [H, W, 3], Y, Cb, Cr.
        short_side: see `stored_size`.

    Returns:
        The planes as uint8 [H'*W'*3/2], H' and W'.
    """
    import cv2

    height, width = stored_size(ycc.shape[0], ycc.shape[1], short_side)
    planes = np.empty(planes_bytes(height, width), np.uint8)
    luma, u, v = views(planes, height, width)
    for channel, plane in enumerate((luma, u, v)):
        source = np.ascontiguousarray(ycc[..., channel])
        cv2.resize(source, plane.shape[::-1], dst=plane, interpolation=cv2.INTER_AREA)
    return planes, height, width


def from_grey(grey: np.ndarray, short_side: int) -> tuple[np.ndarray, int, int]:
    """Like `from_ycc` for a uint8 [H, W] image: the chroma planes hold 128."""
    import cv2

    height, width = stored_size(grey.shape[0], grey.shape[1], short_side)
    planes = np.full(planes_bytes(height, width), 128, np.uint8)
    luma, _, _ = views(planes, height, width)
    cv2.resize(grey, (width, height), dst=luma, interpolation=cv2.INTER_AREA)
    return planes, height, width


def views(planes: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Y [H, W], U and V [H/2, W/2] as views of a flat uint8 [H*W*3/2] array."""
    luma_bytes, half = height * width, (height // 2, width // 2)
    chroma_bytes = luma_bytes // 4
    return (
        planes[:luma_bytes].reshape(height, width),
        planes[luma_bytes : luma_bytes + chroma_bytes].reshape(half),
        planes[luma_bytes + chroma_bytes :].reshape(half),
    )


def to_rgb(planes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Stored planes, uint8 [H*W*3/2], as uint8 [H, W, 3] RGB; chroma is enlarged bilinearly."""
    import cv2

    luma, u, v = views(planes, height, width)
    up_u, up_v = (cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in (u, v))
    return cv2.cvtColor(cv2.merge([luma, up_v, up_u]), cv2.COLOR_YCrCb2RGB)
