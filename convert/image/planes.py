"""Images as Y, U and V planes: how they are made, laid out, and turned back into RGB.

Full-range BT.601 as in JFIF 1.02: Y = 0.299 R + 0.587 G + 0.114 B, U = Cb = 128 + 0.564 (B - Y),
V = Cr = 128 + 0.713 (R - Y). A stored image is Y [H, W], then U, then V, each [H/2, W/2], row-major,
no padding; H and W are even.
"""

from __future__ import annotations

import numpy as np

from convert.image import buffers


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


def resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image, uint8 [h, w] or [h, w, 3], at another size, by area; valid until the next call of this thread.

    Where only a last row and column are too much they are cut off: resampling would blur all pixels.
    """
    import cv2

    from convert.image.shrink import shrink

    rows, columns = pixels.shape[:2]
    if 0 <= rows - height <= 1 and 0 <= columns - width <= 1:
        return pixels[:height, :width]
    if rows < height or columns < width:
        return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    channels = pixels.size // (rows * columns)
    out = buffers.array("resized", (height, width * channels))
    shrink(pixels.reshape(-1), rows, columns, channels, columns * channels, False, out)
    return out.reshape(height, width, *pixels.shape[2:])


def from_bgr(bgr: np.ndarray) -> np.ndarray:
    """Split uint8 [H, W, 3] of even sides into planes, uint8 [H * W * 3 / 2]; chroma is halved by area."""
    import cv2

    height, width = bgr.shape[:2]
    planes = np.empty(planes_bytes(height, width), np.uint8)
    luma, u, v = views(planes, height, width)
    ycc = cv2.cvtColor(bgr, cv2.COLOR_BGR2YCrCb, dst=buffers.array("ycc", bgr.shape))
    cv2.extractChannel(ycc, 0, dst=luma)
    for number, stored in ((1, v), (2, u)):
        chroma = cv2.extractChannel(ycc, number, dst=buffers.array("chroma", luma.shape))
        cv2.resize(chroma, stored.shape[::-1], dst=stored, interpolation=cv2.INTER_AREA)
    return planes


def from_grey(grey: np.ndarray) -> np.ndarray:
    """Like `from_bgr` for uint8 [H, W]: the chroma planes hold 128."""
    planes = np.full(planes_bytes(*grey.shape), 128, np.uint8)
    planes[: grey.size] = grey.reshape(-1)
    return planes


def views(planes: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Y [H, W], U and V [H/2, W/2] as views of a flat uint8 [H*W*3/2] array."""
    luma_bytes, half = height * width, (height // 2, width // 2)
    chroma_bytes = luma_bytes // 4
    return (
        planes[:luma_bytes].reshape(height, width),
        planes[luma_bytes : luma_bytes + chroma_bytes].reshape(half),
        planes[luma_bytes + chroma_bytes :].reshape(half),
    )


def to_rgb_bilinear(planes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Stored planes, uint8 [H*W*3/2], as uint8 [H, W, 3] RGB; chroma is enlarged bilinearly, as people like to see it."""
    import cv2

    luma, u, v = views(planes, height, width)
    # as one pair: alone, OpenCV for Arm resizes them by another library
    up_u, up_v = cv2.split(cv2.resize(cv2.merge([u, v]), (width, height), interpolation=cv2.INTER_LINEAR))
    return cv2.cvtColor(cv2.merge([luma, up_v, up_u]), cv2.COLOR_YCrCb2RGB)


def to_rgb_nearest(y: np.ndarray, uv: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """RGB by a colour matrix, each chroma sample serving its 2x2 pixels, as a network's first cell does it.

    Args:
        y: uint8 [..., 1, S, S].
        uv: uint8 [..., 2, S/2, S/2].
        matrix: float [3, 4], or one for each image, [..., 3, 4]: what Y, U, V and 1 bring to R, G and B.

    Returns:
        [..., 3, S, S] of the matrix's dtype, neither rounded nor clipped.
    """
    ycc = np.concatenate([y, uv.repeat(2, axis=-2).repeat(2, axis=-1)], axis=-3).astype(matrix.dtype)
    return np.einsum("...ij,...jhw->...ihw", matrix[..., :3], ycc) + matrix[..., 3, None, None]
