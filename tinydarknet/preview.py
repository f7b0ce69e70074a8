"""Draws what training makes of stored images: `python -m tinydarknet.preview DATASET --out sheet.png`."""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from convert.cli import Command, main_single
from convert.dataset import Dataset
from convert.errors import require_at_least
from convert.image.contact_sheet import Tile, check_sheet_path, draw_sheet
from tinydarknet.feed.augment import Augmentation, draw

IMAGE_SIZE = 224
"""Side of a view, pixels; the recipe's."""
SEED = 1
"""Of the draws; the default of training."""


@dataclass(frozen=True)
class PreviewOptions:
    """Draw labelled images as they are stored, each followed by what training makes of it in its first epochs."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """The dataset directory, in any encoding."""
    out: Path
    """The picture file to write (.png)."""
    images: int = 20
    """How many images, from evenly spaced places."""
    epochs: int = 3
    """How many crops of each."""

    def __post_init__(self) -> None:
        check_sheet_path(self.out)
        require_at_least(self, 1, "images", "epochs")


def preview(options: PreviewOptions) -> None:
    """Draw the sheet.

    Raises:
        UserError: no dataset, a damaged image, or a file that cannot be written.
    """
    dataset = Dataset(options.dataset)
    rows = dataset.spread_rows(options.images)
    stored = [Tile(dataset.rgb(row), dataset.caption(row)) for row in rows.tolist()]
    tiles = []
    for tile, views in zip(stored, training_views(dataset, rows, options.epochs), strict=True):
        tiles += [tile, *(Tile(view, (f"epoch {epoch}",)) for epoch, view in enumerate(views))]
    draw_sheet(tiles, options.out)
    print(f"{options.out}: {len(rows)} images, each with {options.epochs} crops of training")


def training_views(dataset: Dataset, rows: np.ndarray, epochs: int = 3) -> np.ndarray:
    """Crop, mirror and jitter images as training does in its first epochs, by the feed's own functions.

    Args:
        dataset: in any encoding.
        rows: int64 [rows].
        epochs: how many views of each image.

    Returns:
        uint8 [rows, epochs, S, S, 3]: RGB as the network's first cell computes it, before normalisation, clipped to what
        a picture can show.
    """
    from convert.image.planes import to_rgb_nearest
    from tinydarknet.colour import DARKNET, colour_matrices
    from tinydarknet.feed.crops import CROPPERS
    from tinydarknet.feed.kernels import luma_means

    crop = CROPPERS[dataset.manifest.encoding.name]
    y = np.empty((len(rows), 1, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    uv = np.empty((len(rows), 2, IMAGE_SIZE // 2, IMAGE_SIZE // 2), np.uint8)
    views = np.empty((len(rows), epochs, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    heights, widths = dataset.heights[rows], dataset.widths[rows]
    for epoch in range(epochs):
        windows, factors = draw(Augmentation(), SEED, epoch, dataset.ids[rows], heights, widths)
        crop(dataset, rows, windows, y, uv)
        rgb = 255 * to_rgb_nearest(y, uv, colour_matrices(DARKNET, factors, luma_means(y)))
        views[:, epoch] = np.rint(np.clip(rgb, 0, 255)).transpose(0, 2, 3, 1)
    return views


def main() -> None:
    """Run the command line."""
    main_single("python -m tinydarknet.preview", Command(PreviewOptions, preview))


if __name__ == "__main__":
    main()
