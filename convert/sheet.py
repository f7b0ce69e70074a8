"""A contact sheet: stored images with their labels, on one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convert.files import published
from convert.manifest import Manifest, read_index_table
from convert.stored import read_payload, to_rgb

COLUMNS, ROWS, CELL, CAPTION = 8, 5, 160, 28
"""Images across and down; side of a cell and height of its caption, pixels."""


def write_sheet(directory: Path, manifest: Manifest, path: Path) -> int:
    """Draw images from evenly spaced places of the dataset; returns how many."""
    from PIL import Image, ImageDraw

    count = min(COLUMNS * ROWS, manifest.rows)
    index = read_index_table(directory, manifest).take(np.linspace(0, manifest.rows - 1, count).astype(np.int64))
    sheet = Image.new("RGB", (COLUMNS * CELL, -(-count // COLUMNS) * (CELL + CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(index.to_pylist()):
        picture = Image.fromarray(to_rgb(read_payload(directory, manifest, row), manifest.encoding, row))
        picture.thumbnail((CELL - 4, CELL - 4))
        left, top = number % COLUMNS * CELL, number // COLUMNS * (CELL + CAPTION)
        sheet.paste(picture, (left + (CELL - picture.width) // 2, top + (CELL - picture.height) // 2))
        entry = manifest.classes[row["label"]]
        caption = f"{row['id']}: {row['label']} {entry.name.split(',')[0]}\n{row['width']}x{row['height']} {row['reason'] or row['action']}"
        # the built-in font knows Latin-1 only
        draw.text((left + 3, top + CELL), caption.encode("latin-1", "replace").decode("latin-1"), fill="black")
    with published(path) as temporary:
        sheet.save(temporary)
    return count
