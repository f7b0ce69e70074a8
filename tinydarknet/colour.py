"""Colour as one affine map: stored YCbCr in, normalised RGB out, everything between folded into 3x4 numbers.

Grey levels run from 0 to 255. A colour matrix `m` float32 [3, 4] maps a pixel by
`rgb = m[:, :3] @ (y, cb, cr) + m[:, 3]`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np

from convert.errors import BadValueError

RGB_FROM_YCC = np.array([[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]])
"""Full-range BT.601 as JFIF fixes it (ITU-T T.871, section 7); its chroma is centred on 128."""

CHROMA_CENTRE = 128.0

LUMA_OF_RGB = np.array([0.299, 0.587, 0.114])
"""BT.601's luma, the first row of the inverse of RGB_FROM_YCC."""


@dataclass(frozen=True)
class Normalization:
    """What the network subtracts and divides by, per RGB channel, in grey levels (0 to 255).

    The default is ImageNet's, which the reference recipe, torchvision, timm and MindCV share.
    """

    mean: tuple[float, float, float] = (0.485 * 255, 0.456 * 255, 0.406 * 255)
    std: tuple[float, float, float] = (0.229 * 255, 0.224 * 255, 0.225 * 255)

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            numbers = np.array(getattr(self, name), object)
            if numbers.shape != (3,) or not all(isinstance(one, Real) and math.isfinite(one) for one in numbers):
                raise BadValueError(name, "must be three numbers", getattr(self, name))
        if min(self.std) <= 0:
            raise BadValueError("std", "must be positive", self.std)


IMAGENET = Normalization()

DARKNET = Normalization(mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0))
"""Darknet's: RGB divided by 255, nothing subtracted."""


@dataclass(frozen=True)
class ColourFactors:
    """Colour jitter of a batch, one number per image: float64 [B] each."""

    brightness: np.ndarray
    """Scales the pixel; 1 changes nothing."""
    contrast: np.ndarray
    """Blends the pixel with the image's mean luma; 1 changes nothing."""
    saturation: np.ndarray
    """Scales the chroma; 1 changes nothing."""
    hue: np.ndarray
    """Turns the colour by this part of a full circle; 0 changes nothing."""


def plain_matrix(normalization: Normalization) -> np.ndarray:
    """The matrix float32 [3, 4] that converts stored YCbCr to normalised RGB and does nothing else."""
    one, zero = np.ones(1), np.zeros(1)
    return colour_matrices(normalization, ColourFactors(one, one, one, zero), luma_mean=zero)[0]


def colour_matrices(normalization: Normalization, factors: ColourFactors, luma_mean: np.ndarray) -> np.ndarray:
    """Compose colour jitter, YCbCr to RGB and normalisation; one matrix per image.

    Brightness, contrast and saturation are the reference's own operators and commute, so the order in which it draws
    them does not matter. Its hue is a shift in HSV, which is no affine map; this one turns RGB about the grey axis
    (the two agree at thirds of a turn; docs/feed.md has the distance between).

    Args:
        normalization: of the network.
        factors: of the batch.
        luma_mean: mean of the cropped Y plane, grey levels, [B]; contrast turns on it.

    Returns:
        float32 [B, 3, 4].
    """
    luma_gain = factors.brightness * factors.contrast
    chroma_gain = luma_gain * factors.saturation
    jitter = np.zeros((len(luma_gain), 3, 4))
    jitter[:, 0, 0] = luma_gain
    jitter[:, 0, 3] = factors.brightness * (1 - factors.contrast) * luma_mean
    for channel in (1, 2):
        jitter[:, channel, channel] = chroma_gain
        jitter[:, channel, 3] = -CHROMA_CENTRE * chroma_gain  # chroma leaves centred on 0

    matrices = _turns_about_grey(factors.hue) @ RGB_FROM_YCC @ jitter
    matrices[:, :, 3] -= np.asarray(normalization.mean)
    return (matrices / np.asarray(normalization.std)[None, :, None]).astype(np.float32)


def rgb_from_planes(y: np.ndarray, uv: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """What every network's first cell computes, plainly: the reference that the others are tested against.

    Args:
        y: uint8 [B, 1, S, S].
        uv: uint8 [B, 2, S/2, S/2]; each sample serves its 2x2 pixels.
        colour: float32 [B, 3, 4].

    Returns:
        float32 [B, 3, S, S].
    """
    ycc = np.concatenate([y, uv.repeat(2, axis=2).repeat(2, axis=3)], axis=1).astype(np.float64)
    return (np.einsum("bij,bjhw->bihw", colour[:, :, :3], ycc) + colour[:, :, 3, None, None]).astype(np.float32)


def _turns_about_grey(hue: np.ndarray) -> np.ndarray:
    """Rotations of RGB about (1, 1, 1) by Rodrigues' formula, float64 [B, 3, 3]; red turns towards green."""
    angle = 2 * np.pi * hue[:, None, None]
    axis = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    return np.cos(angle) * np.eye(3) + np.sin(angle) * axis + (1 - np.cos(angle)) / 3
