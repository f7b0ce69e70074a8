"""Seeded pictures whose class is a texture and nothing else: colours, scale, position and light are drawn anew.

Ten kinds of texture fill the whole picture, so that any crop shows the class; more classes repeat the
kinds at other orientations. Colours carry no information about the class.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

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
