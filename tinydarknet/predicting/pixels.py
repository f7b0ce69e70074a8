"""One decoded image -> the square of pixels that a network looks at; no MindSpore here."""

from __future__ import annotations

import numpy as np

from tinydarknet.feed.augment import centre_windows


def centre_square(rgb: np.ndarray, image_size: int) -> np.ndarray:
    """Crop and resize as evaluation does: the centre square of 224/256 of the short side.

    Args:
        rgb: uint8 [H, W, 3].
        image_size: S, pixels.

    Returns:
        uint8 [3, S, S]; reduced by averaging areas, enlarged bilinearly.
    """
    import cv2

    window = centre_windows(np.array([rgb.shape[0]]), np.array([rgb.shape[1]]))
    top, left, side = int(window.top[0]), int(window.left[0]), int(window.height[0])
    square = np.ascontiguousarray(rgb[top : top + side, left : left + side])
    interpolation = cv2.INTER_AREA if side > image_size else cv2.INTER_LINEAR
    resized = cv2.resize(square, (image_size, image_size), interpolation=interpolation)
    return np.ascontiguousarray(resized.transpose(2, 0, 1))
