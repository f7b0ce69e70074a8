"""What a feed's pixels are held against."""

import cv2
import numpy as np


def resized_by_opencv(plane: np.ndarray, size: int) -> np.ndarray:
    """A plane uint8 [h, w], resized bilinearly to [size, size] by OpenCV's own code.

    As one of three equal channels: single ones OpenCV for Arm hands to another library, whose weights have 7 bits.
    """
    return cv2.resize(cv2.merge([plane] * 3), (size, size))[..., 0]
