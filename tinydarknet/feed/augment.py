"""What is done to each image, as numbers: crop windows, flips and colour factors, drawn from (seed, epoch, id)."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np

from convert.errors import BadValueError
from tinydarknet.colour import ColourFactors
from tinydarknet.feed.hashing import uniforms

CROP_TRIES = 10
"""Random windows tried before the centre is taken, as in MindSpore's and torchvision's random resized crop."""

CENTRE_FRACTION = 224 / 256
"""Side of the evaluation crop over the image's short side."""

_DRAWS = 4 * CROP_TRIES + 5


@dataclass(frozen=True)
class Augmentation:
    """The random changes a training image goes through; the defaults are the reference recipe's."""

    scale_min: float = 0.08
    """Smallest crop area over image area."""
    scale_max: float = 1.0
    """Largest crop area over image area."""
    ratio_min: float = 3 / 4
    """Smallest crop width over crop height."""
    ratio_max: float = 4 / 3
    """Largest crop width over crop height."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    brightness: float = 0.4
    """The factor is drawn from [1 - brightness, 1 + brightness]."""
    contrast: float = 0.4
    """The factor is drawn from [1 - contrast, 1 + contrast]."""
    saturation: float = 0.4
    """The factor is drawn from [1 - saturation, 1 + saturation]."""
    hue: float = 0.1
    """The turn is drawn from [-hue, hue] of a full circle."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("scale_max", 0, 1),
            ("scale_min", 0, self.scale_max),
            ("ratio_max", 0, 1000),
            ("ratio_min", 0, self.ratio_max),
        ):
            if not (_is_number(value := getattr(self, name)) and least < value <= most):
                raise BadValueError(name, f"must be in ({least}, {most}]", value)
        reaches = {"flip": 1, "brightness": 1, "contrast": 1, "saturation": 1, "hue": 0.5}
        for name, most in reaches.items():
            if not (_is_number(value := getattr(self, name)) and 0 <= value <= most):
                raise BadValueError(name, f"must be in [0, {most}]", value)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


@dataclass(frozen=True)
class Windows:
    """One crop window per image, pixels, int64 [B] each; all even, so that half-size chroma planes are cut exactly."""

    top: np.ndarray
    left: np.ndarray
    height: np.ndarray
    width: np.ndarray
    flip: np.ndarray
    """bool [B]: mirror left and right."""
    smooth: bool = False
    """Whether pixels should be averaged where a window shrinks: evaluation's are."""

    def part(self, places: slice) -> Windows:
        """Some of them."""
        fields = (self.top, self.left, self.height, self.width, self.flip)
        return Windows(*(field[places] for field in fields), smooth=self.smooth)


def draw(
    augmentation: Augmentation, seed: int, epoch: int, ids: np.ndarray, heights: np.ndarray, widths: np.ndarray
) -> tuple[Windows, ColourFactors]:
    """Draw everything random about a batch.

    Args:
        augmentation: the ranges to draw from.
        seed: of the run.
        epoch: counted from 0.
        ids: of the images, int64 [B].
        heights: of the stored images in pixels, even, int64 [B].
        widths: likewise.
    """
    draws = uniforms(seed, epoch, ids, _DRAWS)
    flip, *colour = draws[4 * CROP_TRIES :]
    windows = _random_windows(
        augmentation, draws[: 4 * CROP_TRIES].reshape(4, CROP_TRIES, -1), flip < augmentation.flip, heights, widths
    )
    gains = zip(colour[:3], (augmentation.brightness, augmentation.contrast, augmentation.saturation), strict=True)
    brightness, contrast, saturation = (1 + (2 * value - 1) * reach for value, reach in gains)
    return windows, ColourFactors(brightness, contrast, saturation, (2 * colour[3] - 1) * augmentation.hue)


def centre_windows(heights: np.ndarray, widths: np.ndarray) -> Windows:
    """The evaluation crop: the centre square of 224/256 of the short side; at short side 256 just the middle 224."""
    side = _even(np.minimum(heights, widths) * CENTRE_FRACTION)
    return Windows(
        top=_middle(heights - side),
        left=_middle(widths - side),
        height=side,
        width=side,
        flip=np.zeros(len(heights), bool),
        smooth=True,
    )


def _middle(room: np.ndarray) -> np.ndarray:
    """The even offset nearest to half of `room` pixels, the smaller of two as near."""
    return 2 * np.ceil(room / 4 - 0.5).astype(np.int64)


def _even(lengths: np.ndarray) -> np.ndarray:
    """Round pixels to the nearest even number, 2 at least."""
    return np.maximum(2, 2 * np.rint(lengths / 2)).astype(np.int64)


def _random_windows(
    augmentation: Augmentation, draws: np.ndarray, flip: np.ndarray, heights: np.ndarray, widths: np.ndarray
) -> Windows:
    """Random resized crop (Szegedy et al. 2015, as torchvision and MindSpore do it) from draws [4, tries, B]."""
    areas, ratios, tops, lefts = draws
    area = (augmentation.scale_min + areas * (augmentation.scale_max - augmentation.scale_min)) * heights * widths
    low, high = np.log(augmentation.ratio_min), np.log(augmentation.ratio_max)
    ratio = np.exp(low + ratios * (high - low))
    crop_widths, crop_heights = _even(np.sqrt(area * ratio)), _even(np.sqrt(area / ratio))
    fits = (crop_widths <= widths) & (crop_heights <= heights)
    images = np.arange(len(heights))
    first = fits.argmax(axis=0)
    any_fits = fits[first, images]

    # the whole image, cut down where its shape lies outside the ratios
    whole_widths = np.minimum(widths, np.maximum(2, (heights * augmentation.ratio_max).astype(np.int64) // 2 * 2))
    whole_heights = np.minimum(heights, np.maximum(2, (widths / augmentation.ratio_min).astype(np.int64) // 2 * 2))
    crop_width = np.where(any_fits, crop_widths[first, images], whole_widths)
    crop_height = np.where(any_fits, crop_heights[first, images], whole_heights)
    room_down, room_right = (heights - crop_height) // 2, (widths - crop_width) // 2
    top = np.where(any_fits, np.floor(tops[first, images] * (room_down + 1)), room_down // 2)
    left = np.where(any_fits, np.floor(lefts[first, images] * (room_right + 1)), room_right // 2)
    return Windows(
        top=2 * top.astype(np.int64),
        left=2 * left.astype(np.int64),
        height=crop_height,
        width=crop_width,
        flip=flip,
    )
