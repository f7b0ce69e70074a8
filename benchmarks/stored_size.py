"""What the stored size costs: training crops from planes of several sizes against the same crops from the source files.

    python benchmarks/stored_size.py --source IMAGENET/train --short-sides 256 320 384 0

Every crop is drawn as training draws it, and compared in grey levels after everything that the network's first cell does.
"""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

import contextlib
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.instruments.harness import BenchmarkOptions, run_benchmark
from convert.errors import require_at_least, require_some

_FEED_SECONDS = 2.0


@dataclass(frozen=True)
class StoredSizeOptions(BenchmarkOptions):
    """Compare stored sizes on a split of class folders."""

    source: Path
    """A folder of class folders."""
    short_sides: tuple[int, ...] = (256, 320, 384, 0)
    """Stored short sides, pixels; 0 keeps every image's own size."""
    image_size: int = 224
    """Side of a crop as the network sees it, pixels."""
    crops: int = 4
    """Random crops of every image."""

    def __post_init__(self) -> None:
        require_some(self, "short_sides")
        require_at_least(self, 1, "crops")


def measure_sizes(options: StoredSizeOptions) -> list[dict[str, Any]]:
    """One result per stored size."""
    with tempfile.TemporaryDirectory() as folder:
        return [_measure(options, side, Path(folder) / str(side)) for side in options.short_sides]


def _measure(options: StoredSizeOptions, short_side: int, output: Path) -> dict[str, Any]:
    from benchmarks.feed_rate import FeedRateOptions, measure_feeds
    from convert.dataset import Dataset
    from convert.job.options import RunOptions
    from convert.run import run
    from tinydarknet.feed.augment import Augmentation, draw

    with contextlib.redirect_stdout(sys.stderr):
        run(RunOptions(options.source, output, short_side=short_side))
    records = Dataset(output)
    keys = records.index.column("key").to_pylist()
    rows = np.arange(len(records))
    drawn = [draw(Augmentation(), 0, epoch, rows, records.heights, records.widths)[0] for epoch in range(options.crops)]
    differences, decibels, magnified = [], [], []
    for row, key in enumerate(keys):
        source = _source_rgb(options.source / key)
        for windows in drawn:
            box = tuple(int(v[row]) for v in (windows.top, windows.left, windows.height, windows.width))
            stored = _stored_crop(records, row, box, options.image_size)
            truth = _source_crop(source, (records.heights[row], records.widths[row]), box, options.image_size)
            error = stored - truth
            differences.append(float(np.abs(error).mean()))
            decibels.append(float(10 * np.log10(255**2 / max(1e-9, np.square(error).mean()))))
            magnified.append(min(box[2:]) < options.image_size)
    (rate,) = measure_feeds(
        FeedRateOptions((output,), ("planes",), batch_size=64, image_size=options.image_size, seconds=_FEED_SECONDS)
    )
    return {
        "benchmark": "stored_size",
        "short_side": short_side,
        "grey_levels_mean": statistics.fmean(differences),
        "grey_levels_p95": float(np.percentile(differences, 95)),
        "psnr_db_mean": statistics.fmean(decibels),
        "magnified_crops": statistics.fmean(magnified),
        "stored_bytes_per_image": rate["stored_bytes_per_image"],
        "images_per_core_s": rate["images_per_core_s"],
        "images": len(records),
        "crops": len(differences),
        "image_size": options.image_size,
    }


def _source_rgb(path: Path) -> np.ndarray:
    from convert.image.encode import decode_rgb

    return decode_rgb(path.read_bytes())


def _stored_crop(records: Any, row: int, box: tuple[int, ...], size: int) -> np.ndarray:
    """What the network sees of a stored image: RGB grey levels, float [S, S, 3], clipped to what a pixel can be."""
    from convert.image.planes import to_rgb_nearest
    from tinydarknet.colour import DARKNET, plain_matrix
    from tinydarknet.feed.augment import Windows
    from tinydarknet.feed.crops import resize_planes

    y, uv = np.empty((1, 1, size, size), np.uint8), np.empty((1, 2, size // 2, size // 2), np.uint8)
    edges = [np.array([value]) for value in box]
    resize_planes(records, np.array([row]), Windows(*edges, flip=np.array([False])), y, uv)
    rgb = to_rgb_nearest(y[0], uv[0], 255 * plain_matrix(DARKNET).astype(float))
    return np.clip(np.moveaxis(rgb, 0, -1), 0, 255)


def _source_crop(source: np.ndarray, stored: tuple[int, int], box: tuple[int, ...], size: int) -> np.ndarray:
    """The same window of the source, to the nearest pixel; averaged by area where it shrinks."""
    import cv2

    down, across = source.shape[0] / stored[0], source.shape[1] / stored[1]
    top, left = round(box[0] * down), round(box[1] * across)
    bottom, right = round((box[0] + box[2]) * down), round((box[1] + box[3]) * across)
    window = np.ascontiguousarray(source[top:bottom, left:right])
    shrinks = min(window.shape[:2]) > size
    return cv2.resize(window, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR).astype(float)


def main() -> None:
    """Measure and print."""
    run_benchmark("stored_size.py", StoredSizeOptions, measure_sizes)


if __name__ == "__main__":
    main()
