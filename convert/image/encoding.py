"""encoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

EncodingName = Literal["yuv420", "original", "jpeg"]


@dataclass(frozen=True)
class Encoding:
    """How every image of a dataset is stored."""

    name: EncodingName
    """yuv420: planes Y, U, V (full-range BT.601, row-major, no padding); original: source bytes; jpeg: resized, re-encoded."""
    short_side: int = 0
    """Longest allowed short side in pixels; 0 keeps every image's own size. Images are never enlarged."""
    quality: int = 0
    """JPEG quality 1 to 100 where this encoding re-encodes, else 0."""

    def __post_init__(self) -> None:
        if self.name not in get_args(EncodingName):
            raise ValueError(f"encoding must be one of {get_args(EncodingName)}, got {self.name!r}")
        if self.short_side < 0 or self.short_side == 1:
            raise ValueError(f"short_side must be 0 or at least 2, got {self.short_side}")
        if not 0 <= self.quality <= 100:
            raise ValueError(f"quality must be in [0, 100], got {self.quality}")

    def in_words(self) -> str:
        """As people say it."""
        size = f"short side at most {self.short_side}" if self.short_side else "sizes kept"
        return f"{self.name} ({size}{f', quality {self.quality}' if self.quality else ''})"
