"""Pictures of what the training feed makes of stored images, for people to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convert.dataset import Dataset
from tinydarknet.colour import DARKNET, colour_matrices
from tinydarknet.feed.augment import Augmentation, draw
from tinydarknet.feed.crops import CROPPERS
from tinydarknet.feed.kernels import luma_means

IMAGE_SIZE = 224
"""Side of a view, pixels; the recipe's."""
SEED = 1
"""Of the draws; the default of training."""


def training_views(directory: Path, rows: np.ndarray, epochs: int = 3) -> np.ndarray:
    """Crop, mirror and jitter images as training does in its first epochs, by the feed's own functions.

    Args:
        directory: a dataset in any encoding.
        rows: row numbers of its index, int64 [rows].
        epochs: how many views of each image.

    Returns:
        uint8 [rows, epochs, S, S, 3]: RGB as the network's first cell computes it, before normalisation, clipped to what
        a picture can show.
    """
    records = Dataset(directory)
    crop = CROPPERS[records.manifest.encoding.name]
    y = np.empty((len(rows), 1, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    uv = np.empty((len(rows), 2, IMAGE_SIZE // 2, IMAGE_SIZE // 2), np.uint8)
    views = np.empty((len(rows), epochs, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    for epoch in range(epochs):
        windows, factors = draw(
            Augmentation(), SEED, epoch, records.ids[rows], records.heights[rows], records.widths[rows]
        )
        crop(records, rows, windows, y, uv)
        for place, matrix in enumerate(colour_matrices(DARKNET, factors, luma_means(y))):
            ycc = np.concatenate([y[place], uv[place].repeat(2, axis=1).repeat(2, axis=2)]).astype(np.float32)
            rgb = np.moveaxis(ycc, 0, -1) @ matrix[:, :3].T + matrix[:, 3]
            views[place, epoch] = np.rint(np.clip(255 * rgb, 0, 255))
    return views
