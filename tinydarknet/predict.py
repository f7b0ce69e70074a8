"""Says what is on images: `python -m tinydarknet.predict IMAGE... --checkpoint-path FILE`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from convert.cli import EXIT_OK, EXIT_USER_ERROR, Command, main_single
from convert.errors import UserError

STDIN = Path("-")
BATCH = 32
IMAGE_SUFFIXES = {".jpeg", ".jpg", ".png", ".webp", ".bmp", ".gif"}


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """Name the most probable classes of image files."""

    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Image files, folders of them, or - for one image on standard input."""
    checkpoint_path: Path
    """The network: .ckpt, .onnx, .mindir (with their cards) or Darknet's .weights."""
    top: int = 5
    """Classes to name for each image."""
    json: bool = False
    """Print one JSON object for each image."""

    def __post_init__(self) -> None:
        if not self.images:
            raise ValueError("images must name at least one file, got none")
        if self.top < 1:
            raise ValueError(f"top must be at least 1, got {self.top}")


def predict(options: PredictOptions) -> int:
    """Carry out the command; status 1 if an image could not be read."""
    from convert.errors import BadImageError
    from convert.images import decode_rgb
    from tinydarknet.predicting.pixels import centre_square
    from tinydarknet.predicting.predictors import open_predictor

    paths = list(_files(options.images))
    predictor = open_predictor(options.checkpoint_path)
    status, start, done = EXIT_OK, time.perf_counter(), 0
    for first in range(0, len(paths), BATCH):
        named: list[tuple[Path, np.ndarray]] = []
        for path in paths[first : first + BATCH]:
            try:
                data = sys.stdin.buffer.read() if path == STDIN else path.read_bytes()
                named.append((path, centre_square(decode_rgb(data), predictor.image_size)))
            except (BadImageError, OSError) as error:
                print(f"error: {path}: {error}", file=sys.stderr)
                status = EXIT_USER_ERROR
        if not named:
            continue
        probabilities = predictor.probabilities(np.stack([pixels for _, pixels in named]))
        for (path, _), row in zip(named, probabilities, strict=True):
            best = np.argsort(-row, kind="stable")[: options.top]
            guesses = [
                {
                    "label": int(label),
                    "wnid": entry.wnid,
                    "name": entry.name,
                    "probability": round(float(row[label]), 6),
                }
                for label, entry in ((label, predictor.classes[label]) for label in best)
            ]
            _show(path, guesses, options.json)
        done += len(named)
    seconds = time.perf_counter() - start
    print(f"{done} images, {done / seconds:.1f} images/s", file=sys.stderr)
    return status


def _show(path: Path, guesses: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"image": str(path), "guesses": guesses}, ensure_ascii=False))
        return
    print(path)
    for guess in guesses:
        print(f"  {100 * guess['probability']:6.2f} %  {guess['wnid']}  {guess['name']}")


def _files(paths: tuple[Path, ...]) -> Iterator[Path]:
    """The paths, folders replaced by the image files in them, sorted."""
    for path in paths:
        if path == STDIN:
            yield path
        elif path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
            if not found:
                raise UserError(f"no images in {path}: files must end in one of {', '.join(sorted(IMAGE_SUFFIXES))}")
            yield from found
        elif path.is_file():
            yield path
        else:
            raise UserError(f"no image at {path}: check the path")


def main() -> None:
    """Run the command line."""
    main_single("python -m tinydarknet.predict", Command(PredictOptions, predict))


if __name__ == "__main__":
    main()
