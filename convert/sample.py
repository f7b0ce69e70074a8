"""`python -m convert sample`: a seeded tree of pictures shaped like ImageNet, for trying everything without it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from convert import pool
from convert.classes import load_imagenet1k
from convert.errors import UserError
from convert.textures import picture

Oddity = Literal["", "grey", "cmyk", "png", "rotated", "progressive"]
_ODDITIES: tuple[Oddity, ...] = ("grey", "cmyk", "png", "rotated", "progressive")
_VAL_SHARE = 5  # one validation image for so many training images
_FIRST_ODD, _ODD_EVERY = 7, 11  # the images 7, 18, 29, 40 and 51 of a split are odd
_SIZES = ((375, 500), (375, 500), (500, 375), (333, 500), (500, 333), (375, 500), (240, 320), (600, 800))
"""Height and width, pixels; ImageNet's own mixture is mostly 375x500."""


@dataclass(frozen=True)
class SampleOptions:
    """Write a seeded ImageNet-like tree: DIR/train/<wnid>/* and DIR/val/<wnid>/*."""

    directory: Annotated[Path, tyro.conf.Positional]
    """Folder to make; must be new or empty."""
    classes: int = 10
    """Number of classes, 1 to 1000."""
    images: int = 600
    """Number of training images; a fifth as many validation images come on top."""
    seed: int = 0
    """The same seed writes the same pictures."""

    def __post_init__(self) -> None:
        if not 1 <= self.classes <= 1000:
            raise ValueError(f"classes must be in [1, 1000], got {self.classes}")
        if self.images < self.classes:
            raise ValueError(f"images must be at least the number of classes {self.classes}, got {self.images}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")


@dataclass(frozen=True)
class _Image:
    path: Path
    label: int
    seed: tuple[int, ...]
    oddity: Oddity


def sample(options: SampleOptions) -> int:
    """Write the tree; returns the exit status."""
    if options.directory.exists() and (not options.directory.is_dir() or any(options.directory.iterdir())):
        raise UserError(f"{options.directory} exists and is not an empty folder: name a new one")
    images = list(_images(options))
    for folder in {image.path.parent for image in images}:
        folder.mkdir(parents=True)
    with ThreadPoolExecutor(pool.usable_cpus()) as threads:
        source_bytes = sum(threads.map(_write, images))
    print(
        f"{options.directory}: {options.images:,} training and {len(images) - options.images:,} validation images of "
        f"{options.classes} classes, {source_bytes / 1e6:,.1f} MB"
    )
    return 0


def _images(options: SampleOptions) -> Iterator[_Image]:
    table = load_imagenet1k()
    wnids = [table[len(table) * label // options.classes].wnid for label in range(options.classes)]
    counts = {"train": options.images, "val": max(options.classes, -(-options.images // _VAL_SHARE))}
    for split_number, (split, count) in enumerate(counts.items()):
        for number in range(count):
            label = number % options.classes
            name = f"{wnids[label]}_{number}.JPEG" if split == "train" else f"ILSVRC2012_val_{number + 1:08d}.JPEG"
            odd, remainder = divmod(number - _FIRST_ODD, _ODD_EVERY)
            oddity = _ODDITIES[odd] if remainder == 0 and 0 <= odd < len(_ODDITIES) else ""
            yield _Image(
                options.directory / split / wnids[label] / name, label, (options.seed, split_number, number), oddity
            )


def _write(image: _Image) -> int:
    """Write one file; returns its size in bytes."""
    generator = np.random.default_rng(image.seed)
    height, width = _SIZES[generator.integers(len(_SIZES))]
    height, width = (
        int(side * generator.uniform(0.92, 1.0)) if generator.random() < 0.3 else side for side in (height, width)
    )
    data = _encode(picture(image.label, height, width, generator), int(generator.integers(88, 97)), image.oddity)
    image.path.write_bytes(data)
    return len(data)


def _encode(pixels: np.ndarray, quality: int, oddity: Oddity) -> bytes:
    if oddity:
        return _encode_odd(pixels, quality, oddity)
    import cv2

    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    ]
    return cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def _encode_odd(pixels: np.ndarray, quality: int, oddity: Oddity) -> bytes:
    from PIL import Image

    upright = Image.fromarray(pixels)
    stream = io.BytesIO()
    if oddity == "png":
        upright.save(stream, "PNG", compress_level=1)
    elif oddity == "rotated":
        exif = Image.Exif()
        exif[0x0112] = 6  # "turn me a quarter clockwise": so the stored pixels are turned the other way
        upright.transpose(Image.Transpose.ROTATE_90).save(stream, "JPEG", quality=quality, exif=exif)
    else:
        mode = {"grey": "L", "cmyk": "CMYK"}.get(oddity, "RGB")
        upright.convert(mode).save(stream, "JPEG", quality=quality, progressive=oddity == "progressive")
    return stream.getvalue()
