"""A contact sheet: pictures with captions, side by side on one image. The one place that draws such sheets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.files import published

SHEET_SUFFIXES = (".png", ".jpg", ".jpeg")

_COLUMNS_MAX = 8
_CELL, _LINE = 160, 14
"""Side of a picture's cell and height of a caption's line, pixels."""
_LINE_CHARACTERS = 26
"""What fits below a cell in the built-in font."""


@dataclass(frozen=True)
class Tile:
    """One picture on a sheet."""

    pixels: np.ndarray
    """RGB uint8 [H, W, 3]; reduced to the cell where it is larger."""
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


def draw_sheet(tiles: Sequence[Tile], path: Path) -> None:
    """Draw the tiles row by row, up to 8 across, into the image file `path`."""
    from PIL import Image, ImageDraw

    columns = min(_COLUMNS_MAX, len(tiles))
    rows = -(-len(tiles) // columns)
    row_height = _CELL + _LINE * max(len(tile.caption) for tile in tiles)
    sheet = Image.new("RGB", (columns * _CELL, rows * row_height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, tile in enumerate(tiles):
        picture = Image.fromarray(tile.pixels)
        picture.thumbnail((_CELL - 4, _CELL - 4))
        left, top = number % columns * _CELL, number // columns * row_height
        sheet.paste(picture, (left + (_CELL - picture.width) // 2, top + (_CELL - picture.height) // 2))
        text = "\n".join(line[:_LINE_CHARACTERS] for line in tile.caption)
        # the built-in font knows Latin-1 only
        draw.text((left + 3, top + _CELL), text.encode("latin-1", "replace").decode("latin-1"), fill=tile.colour)
    with published(path) as temporary:
        sheet.save(temporary)
