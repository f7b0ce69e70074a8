"""A dataset's images as tiles of a contact sheet: each as it is stored, followed by what its readers make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from convert.index import read_index_table
from convert.manifest import Manifest
from convert.sheet import Tile
from convert.stored import read_rgb
from convert.views import find_views

SHEET_IMAGES = 20


def dataset_tiles(directory: Path, manifest: Manifest) -> list[Tile]:
    """Labelled images from evenly spaced places of a dataset; every image has equally many tiles, the stored one first."""
    rows = np.linspace(0, manifest.rows - 1, min(SHEET_IMAGES, manifest.rows)).astype(np.int64)
    index_rows = read_index_table(directory, manifest).take(rows).to_pylist()
    # before the views, which need not tell of damage as the stored images do
    stored = [Tile(read_rgb(directory, manifest, row), _caption(manifest, row)) for row in index_rows]
    views = {title: view(directory, rows) for title, view in find_views().items()}
    tiles = []
    for place, tile in enumerate(stored):
        tiles.append(tile)
        for title, pictures in views.items():
            tiles += [Tile(picture, (f"{title} {turn}",)) for turn, picture in enumerate(pictures[place], 1)]
    return tiles


def _caption(manifest: Manifest, row: dict[str, Any]) -> tuple[str, str]:
    name = manifest.classes[row["label"]].name.split(",")[0]
    return (
        f"{row['id']}: {row['label']} {name}",
        f"{row['width']}x{row['height']} {row['reason'] or row['action']}",
    )
