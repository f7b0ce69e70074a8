"""A contact sheet: pictures with captions, side by side on one image. The one place that draws such sheets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.durable_files import published_output

SHEET_SUFFIXES = (".png", ".jpg", ".jpeg")

_COLUMNS_MAX = 8
_LINE = 14
"""Height of a caption's line, pixels."""
_MARGIN = 2
"""Around a picture, pixels."""


@dataclass(frozen=True)
class Tile:
    """One picture on a sheet."""

    pixels: np.ndarray
    """RGB uint8 [H, W, 3]; reduced where it is larger."""
    caption: tuple[str, ...]
    """Lines below it, cut where they are too long."""
    colour: str = "black"
    """Of the caption: a name that Pillow knows, such as "red"."""


def check_sheet_path(path: Path) -> None:
    """Refuse a file name that no sheet can be written to.

    Raises:
        ValueError: it ends otherwise than in one of SHEET_SUFFIXES.
    """
    if path.suffix.lower() not in SHEET_SUFFIXES:
        raise ValueError(f"sheet must end in .png or .jpg, got {str(path)!r}")


def draw_sheet(tiles: Sequence[Tile], path: Path, picture_side: int = 156) -> None:
    """Draw the tiles row by row, up to 8 across, into the image file `path`; larger pictures are reduced to `picture_side` pixels.

    Raises:
        UserError: the file cannot be written.
    """
    from PIL import Image, ImageDraw

    cell = picture_side + 2 * _MARGIN
    columns = min(_COLUMNS_MAX, len(tiles))
    rows = -(-len(tiles) // columns)
    row_height = cell + _LINE * max(len(tile.caption) for tile in tiles)
    sheet = Image.new("RGB", (columns * cell, rows * row_height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, tile in enumerate(tiles):
        picture = Image.fromarray(tile.pixels)
        picture.thumbnail((picture_side, picture_side))
        left, top = number % columns * cell, number // columns * row_height
        sheet.paste(picture, (left + (cell - picture.width) // 2, top + (cell - picture.height) // 2))
        for place, line in enumerate(tile.caption):
            # the built-in font knows Latin-1 only, and no line break may get in
            text = " ".join(line.encode("latin-1", "backslashreplace").decode("latin-1").split())[:picture_side]
            while draw.textlength(text) > picture_side:
                text = text[:-1]
            draw.text((left + _MARGIN, top + cell + _LINE * place), text, fill=tile.colour)
    with published_output(path) as temporary:
        sheet.save(temporary)
