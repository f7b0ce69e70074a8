"""From paths to batches of pixels: folders searched, files decoded ahead on threads, odd ones named."""

from __future__ import annotations

import codecs
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from convert.entries import walk
from convert.errors import BadImageError, UserError
from convert.image.encode import decode_rgb
from tinydarknet.feed.augment import centre_windows


def centre_square(rgb: np.ndarray, image_size: int) -> np.ndarray:
    """Crop and resize as evaluation does: the centre square of 224/256 of the short side.

    Args:
        rgb: uint8 [H, W, 3].
        image_size: S, pixels.

    Returns:
        uint8 [3, S, S]; reduced by averaging areas, enlarged bilinearly.
    """
    import cv2

    window = centre_windows(np.array([rgb.shape[0]]), np.array([rgb.shape[1]]))
    top, left, side = int(window.top[0]), int(window.left[0]), int(window.height[0])
    square = np.ascontiguousarray(rgb[top : top + side, left : left + side])
    interpolation = cv2.INTER_AREA if side > image_size else cv2.INTER_LINEAR
    resized = cv2.resize(square, (image_size, image_size), interpolation=interpolation)
    return np.ascontiguousarray(resized.transpose(2, 0, 1))


STDIN = Path("-")
FILE_BYTES_MAX = 1 << 28
"""A larger file is no picture that could be decoded."""

_BATCHES_AHEAD = 2


@dataclass(frozen=True)
class InputImage:
    """One file, decoded or not."""

    path: Path
    pixels: np.ndarray | None
    """RGB uint8 [3, S, S]; None if it could not be read."""
    problem: str = ""
    """Why not."""


def find_pictures(paths: Iterable[Path]) -> list[Path]:
    """The paths, folders replaced by the image files in them, sorted, as the converter finds them.

    Raises:
        UserError: nothing is there, a folder holds no image, cannot be read, or holds a link that leads nowhere.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path / entry.name for entry in walk(path) if entry.kind == "image")
            if not inside:
                raise UserError(f"no images in {path}: name a folder or a file that holds some")
            found += inside
        elif path == STDIN or path.exists():
            found.append(path)
        else:
            raise UserError(f"no image at {path}: check the path")
    return found


def read_path_list(source: Path) -> list[Path]:
    """Paths, one on each line, from a file or from standard input (-); empty lines are skipped.

    They are bytes to the system, and so they are here: only line feeds part them.

    Raises:
        UserError: the file cannot be read, or names nothing.
    """
    try:
        data = sys.stdin.buffer.read() if source == STDIN else source.read_bytes()
    except OSError as error:
        raise UserError(
            f"cannot read paths from {source} ({error}): give a text file with one path on each line"
        ) from error
    lines = (line.removesuffix(b"\r") for line in data.removeprefix(codecs.BOM_UTF8).split(b"\n"))
    paths = [Path(os.fsdecode(line)) for line in lines if line]
    if not paths or b"\0" in data:
        raise UserError(f"{source} names no images: give a text file with one path on each line")
    return paths


def picture_batches(paths: list[Path], image_size: int, batch_size: int, threads: int) -> Iterator[list[InputImage]]:
    """Decode and crop the files in order, a few batches ahead of who asks for them."""
    rest = iter(paths)
    pending: deque[list[Future[InputImage]]] = deque()
    executor = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        while True:
            while len(pending) < _BATCHES_AHEAD and (part := list(islice(rest, batch_size))):
                pending.append([executor.submit(_read, path, image_size) for path in part])
            if not pending:
                return
            yield [future.result() for future in pending.popleft()]
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _read(path: Path, image_size: int) -> InputImage:
    try:
        return InputImage(path, centre_square(decode_rgb(_bytes_of(path)), image_size))
    except (BadImageError, OSError) as error:
        return InputImage(path, None, str(error))


def _bytes_of(path: Path) -> bytes:
    if path == STDIN:
        data = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
    else:
        with path.open("rb") as stream:
            data = stream.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise BadImageError(f"more than {FILE_BYTES_MAX >> 20} MiB, which no picture here has")
    return data
