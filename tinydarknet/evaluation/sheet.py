"""The images that a network did worst on, as it saw them, on one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from convert.sheet import Tile, draw_sheet
from tinydarknet.evaluation.tables import WorstImage

PICTURE_SIDE_MIN = 180
"""Pixels; a key below it is some 170 wide."""


def draw_worst(path: Path, rows: Sequence[WorstImage], pictures: Mapping[int, np.ndarray]) -> None:
    """Write a picture file with one captioned tile for each of `rows`: key, class, first guess, their probabilities.

    Args:
        path: of the file.
        rows: in the order in which they are drawn.
        pictures: by id, RGB uint8 [S, S, 3].
    """
    tiles = [
        Tile(
            pictures[row.id],
            (
                row.key,
                f"{row.own_probability:.2%} {row.name}",
                f"taken for {row.probability:.0%} {row.guess_name}",
            ),
        )
        for row in rows
    ]
    draw_sheet(tiles, path, max(PICTURE_SIDE_MIN, tiles[0].pixels.shape[0]))
