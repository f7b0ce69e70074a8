"""What an encoding is: its name, its parameters, and what is known of everything stored in it.

Its writer and its reader stand together in `convert.image.encode.CODECS`; here is what others ask without touching pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

EncodingName = Literal["yuv420", "original", "jpeg"]
"""Those that the command line offers."""


@dataclass(frozen=True)
class EncodingTraits:
    """What all datasets of an encoding have in common."""

    holds_planes: bool = False
    """Payloads are planes Y, U, V: nothing is left to decode, and the size of an image tells that of its payload."""
    is_jpeg: bool = False
    """Payloads are JPEG files."""
    resizes: bool = True
    """Whether images are made smaller, so that the short side bears on it."""
    quality: int | None = 0
    """JPEG quality that is always used, 0 where none is; None: as the user wishes."""


ORIGINAL_QUALITY = 95
"""JPEG quality (libjpeg's scale) when an `original` has to be re-encoded; chroma is then kept at full size."""
TRAITS: dict[str, EncodingTraits] = {
    "yuv420": EncodingTraits(holds_planes=True),
    "original": EncodingTraits(is_jpeg=True, resizes=False, quality=ORIGINAL_QUALITY),
    "jpeg": EncodingTraits(is_jpeg=True, quality=None),
}


@dataclass(frozen=True)
class Encoding:
    """How every image of a dataset is stored."""

    name: str
    """yuv420: planes Y, U, V (full-range BT.601, row-major, no padding); original: source bytes; jpeg: resized, re-encoded."""
    short_side: int = 0
    """Longest allowed short side in pixels; 0 keeps every image's own size. Images are never enlarged."""
    quality: int = 0
    """JPEG quality 1 to 100 where this encoding re-encodes, else 0."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or self.name not in TRAITS:
            raise ValueError(f"encoding must be one of {tuple(TRAITS)}, got {self.name!r}")
        if self.short_side < 0 or self.short_side == 1:
            raise ValueError(f"short_side must be 0 or at least 2, got {self.short_side}")
        if not 0 <= self.quality <= 100:
            raise ValueError(f"quality must be in [0, 100], got {self.quality}")

    @staticmethod
    def of(name: str, short_side: int, quality: int) -> Encoding:
        """The encoding with those parameters that bear on it."""
        traits = TRAITS[name]
        return Encoding(
            name, short_side if traits.resizes else 0, quality if traits.quality is None else traits.quality
        )

    @property
    def traits(self) -> EncodingTraits:
        """What all datasets of this encoding have in common."""
        return TRAITS[self.name]

    @property
    def suffix(self) -> str:
        """Of the file that an image is naturally written to; a .jpg then holds the payload itself."""
        return ".jpg" if self.traits.is_jpeg else ".png"

    def sizes_fit(self, lengths: np.ndarray, heights: np.ndarray, widths: np.ndarray) -> np.ndarray:
        """Whether payloads of these sizes in bytes can be images of these sizes in pixels, bool [rows]."""
        if self.traits.holds_planes:
            return lengths.astype(np.int64) * 2 == heights.astype(np.int64) * widths * 3
        return lengths > 0

    def in_words(self) -> str:
        """As people say it."""
        size = f"short side at most {self.short_side}" if self.short_side else "sizes kept"
        return f"{self.name} ({size}{f', quality {self.quality}' if self.quality else ''})"
