"""Says what is on images: `python -m tinydarknet.predict IMAGE... --checkpoint-path FILE`."""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from convert.cli import EXIT_OK, EXIT_USER_ERROR, Command, main_single
from convert.errors import require_at_least
from convert.image.contact_sheet import check_sheet_path
from tinydarknet.config import DeviceConfig

SHEET_IMAGES = 200
"""More pictures than that are not drawn."""


@dataclass(frozen=True, kw_only=True)
class PredictOptions(DeviceConfig):
    """Name the most probable classes of image files."""

    images: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Image files, folders of them, or - for one image on standard input."""
    checkpoint_path: Path
    """The network: .ckpt, .onnx, .mindir (with their cards) or Darknet's .weights."""
    files_from: Path | None = None
    """Also the paths in this file, one on each line; - reads the list from standard input."""
    top: int = 5
    """Classes to name for each image."""
    json: bool = False
    """Print one JSON object for each image."""
    sheet: Path | None = None
    """Draw a contact sheet of the images with their likeliest classes into this file (.png)."""
    batch_size: int = 32
    """Images for one call of the network; the answers do not depend on it."""
    threads: int = 0
    """That decode images, and that onnxruntime computes with; 0 takes the processors that the process may use."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.images and self.files_from is None:
            raise ValueError("images must name at least one file, got none")
        if self.files_from == Path("-") and Path("-") in self.images:
            raise ValueError("standard input is either an image or a list of paths, got - for both")
        require_at_least(self, 1, "top", "batch_size")
        require_at_least(self, 0, "threads")
        if self.sheet is not None:
            check_sheet_path(self.sheet)


def predict(options: PredictOptions) -> int:
    """Carry out the command; status 1 if an image could not be read.

    Raises:
        UserError: images, list or checkpoint are not what they should be, or the sheet cannot be written.
    """
    import numpy as np

    from convert.image.contact_sheet import draw_sheet
    from tinydarknet.predict.guesses import as_json, as_text, as_tile, best_guesses
    from tinydarknet.predict.pictures import find_pictures, picture_batches, read_path_list
    from tinydarknet.predict.predictors import open_predictor
    from tinydarknet.rank_share import equal_share_threads

    listed = read_path_list(options.files_from) if options.files_from else []
    paths = find_pictures([*options.images, *listed])
    threads = options.threads or equal_share_threads(1)
    predictor = open_predictor(options.checkpoint_path, options, threads)
    tell = as_json if options.json else as_text
    status, done, tiles, start = EXIT_OK, 0, [], time.perf_counter()
    for batch in picture_batches(paths, predictor.image_size, options.batch_size, threads):
        read = [(picture.path, picture.pixels) for picture in batch if picture.pixels is not None]
        for picture in batch:
            if picture.pixels is None:
                print(f"error: {picture.path}: {picture.problem}", file=sys.stderr)
                status = EXIT_USER_ERROR
        if not read:
            continue
        probabilities = predictor.probabilities(np.stack([pixels for _, pixels in read]))
        for (path, pixels), row in zip(read, probabilities, strict=True):
            guesses = best_guesses(row, predictor.classes, options.top)
            print(tell(path, guesses))
            if options.sheet is not None and len(tiles) < SHEET_IMAGES:
                tiles.append(as_tile(path, pixels, guesses))
        done += len(read)
    seconds = time.perf_counter() - start
    print(f"{done} images in {seconds:.1f} s, {done / seconds:.1f} images/s", file=sys.stderr)
    if options.sheet is not None and tiles:
        draw_sheet(tiles, options.sheet)
        print(f"{options.sheet}: {len(tiles)} images of {done}", file=sys.stderr)
    return status


def main() -> None:
    """Run the command line."""
    main_single("python -m tinydarknet.predict", Command(PredictOptions, predict))


if __name__ == "__main__":
    main()
