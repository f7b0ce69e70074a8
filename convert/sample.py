"""`python -m convert sample`: a seeded tree of pictures shaped like ImageNet, for trying everything without it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from convert import processors
from convert.dataset.classes import load_imagenet1k
from convert.errors import UserError

KINDS = 10
_TURN = 2 * np.pi


def picture(label: int, height: int, width: int, generator: np.random.Generator) -> np.ndarray:
    """One picture of class `label`.

    Args:
        label: its kind is `label % KINDS`; `label // KINDS` turns it by multiples of 18 degrees.
        height: pixels.
        width: pixels.
        generator: the only source of chance.

    Returns:
        uint8 [height, width, 3], RGB.
    """
    import cv2

    # half resolution is enough for textures this coarse, and four times as fast
    rows, columns = np.mgrid[0 : (height + 1) // 2, 0 : (width + 1) // 2].astype(np.float32)
    period = generator.uniform(0.11, 0.22) * min(rows.shape)
    angle = np.deg2rad(18.0 * (label // KINDS) + generator.uniform(-8, 8))
    centre_row, centre_column = generator.uniform(0, rows.shape[0]), generator.uniform(0, rows.shape[1])
    down, across = (rows - centre_row) / period, (columns - centre_column) / period
    across = across if generator.random() < 0.5 else -across
    u = np.cos(angle) * across + np.sin(angle) * down
    v = np.cos(angle) * down - np.sin(angle) * across
    mask = np.clip(_TEXTURES[label % KINDS](u, v) * generator.uniform(2, 6) + 0.5, 0, 1)
    colours = _two_colours(generator)
    light = 1 + generator.uniform(0.1, 0.35) * np.sin(
        rows / rows.shape[0] * generator.uniform(-3, 3) + columns / columns.shape[1] * 2
    )
    small = (colours[0] + mask[..., None] * (colours[1] - colours[0])) * light[..., None]
    large = cv2.resize(small.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    # a tile of noise is repeated: fresh noise for every pixel would cost more than all the rest
    tile = generator.standard_normal((64, 64, 3), np.float32) * generator.uniform(7, 20)
    noise = np.tile(tile, (height // 64 + 1, width // 64 + 1, 1))[:height, :width]
    return np.clip(large + noise, 0, 255).astype(np.uint8)


def _two_colours(generator: np.random.Generator) -> np.ndarray:
    """Float32 [2, 3]: two colours that differ in brightness by at least 70 levels, either one the darker."""
    dark = generator.uniform(10, 110, 3)
    bright = np.minimum(dark + generator.uniform(70, 140), 255) + generator.uniform(-30, 30, 3)
    pair = np.stack([dark, bright])[:: 1 if generator.random() < 0.5 else -1]
    return pair.astype(np.float32)


def _wave(phase: np.ndarray) -> np.ndarray:
    return np.sin(_TURN * phase)


def _lines(phase: np.ndarray) -> np.ndarray:
    return 6 * (0.1 - np.abs(phase - np.round(phase)))


def _spots(
    u: np.ndarray, v: np.ndarray, metric: Callable[[np.ndarray, np.ndarray], np.ndarray], radius: float
) -> np.ndarray:
    """A lattice of equal shapes, `radius` in units of the period."""
    return radius - metric(np.abs(u - np.round(u)), np.abs(v - np.round(v)))


_TEXTURES: list[Callable[[np.ndarray, np.ndarray], np.ndarray]] = [
    lambda _u, v: _wave(v),  # horizontal stripes
    lambda u, _v: _wave(u),  # vertical stripes
    lambda u, v: _wave((u + v) / np.sqrt(2)),  # diagonal stripes
    lambda u, v: _wave(u / 1.4) * _wave(v / 1.4) * 2,  # checkerboard
    lambda u, v: 4 * _spots(u / 1.2, v / 1.2, np.hypot, 0.27),  # discs
    lambda u, v: 0.45 - 5 * np.abs(_spots(u / 1.8, v / 1.8, np.hypot, 0.32)),  # rings
    lambda u, v: np.maximum(_lines(u / 1.3), _lines(v / 1.3)),  # grid of lines
    lambda u, v: _wave(u + 0.55 * np.sin(_TURN * v / 1.5)),  # wavy stripes
    lambda u, v: (
        5 * _spots(u / 1.5, v / 1.5, lambda x, y: np.minimum(np.maximum(x * 3, y), np.maximum(x, y * 3)), 0.33)
    ),  # crosses
    lambda u, v: _wave(v + np.abs(((u / 2) % 1) * 2 - 1) * 1.2),  # zigzag
]


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
    images = list(_images(options))
    try:
        if options.directory.exists() and (not options.directory.is_dir() or any(options.directory.iterdir())):
            raise UserError(f"{options.directory} exists and is not an empty folder: name a new one")
        for folder in {image.path.parent for image in images}:
            folder.mkdir(parents=True)
        with ThreadPoolExecutor(processors.usable_processors()) as threads:
            source_bytes = sum(threads.map(_write, images))
    except OSError as error:
        raise UserError(
            f"cannot write images into {options.directory} ({error.strerror or error}): make room, or name another folder"
        ) from error
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
            name = f"{wnids[label]}_{number}.JPEG" if split == "train" else f"sample_val_{number + 1:08d}.JPEG"
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
