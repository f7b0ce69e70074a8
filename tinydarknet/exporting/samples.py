"""A few images to compare networks on: a dataset's, or drawn ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinydarknet.colour import CHROMA_CENTRE, RGB_FROM_YCC, Normalization, plain_matrix
from tinydarknet.feed.opening import open_eval_feed

DRAWN_IMAGES = 8
DATASET_IMAGES_MAX = 64

GREY_LEVELS = Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
"""No normalisation: RGB in grey levels."""


def sample_inputs(
    kind: str, image_size: int, normalization: Normalization, data_path: Path | None
) -> tuple[tuple[np.ndarray, ...], str]:
    """Images as inputs of the given kind ("rgb_uint8", "rgb_float" or "planes"), and a word on where they come from.

    Returns:
        image [n, 3, S, S] uint8 or float32; or y uint8 [n, 1, S, S], uv uint8 [n, 2, S/2, S/2] and colour
        float32 [n, 3, 4] for `normalization`. Then such as "images of DIR".
    """
    y, uv, origin = _planes(image_size, data_path)
    if kind == "planes":
        return (y, uv, np.repeat(plain_matrix(normalization)[None], len(y), axis=0)), origin
    pixels = np.clip(np.rint(rgb_from_planes(y, uv)), 0, 255)
    return (pixels.astype(np.uint8 if kind == "rgb_uint8" else np.float32),), origin


def rgb_from_planes(y: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """RGB grey levels float64 [n, 3, S, S] of planes, each chroma sample serving its 2x2 pixels."""
    full = uv.astype(np.float64).repeat(2, axis=2).repeat(2, axis=3) - CHROMA_CENTRE
    return np.einsum("ij,njhw->nihw", RGB_FROM_YCC, np.concatenate([y.astype(np.float64), full], axis=1))


def _planes(image_size: int, data_path: Path | None) -> tuple[np.ndarray, np.ndarray, str]:
    if data_path is None:
        return *_drawn_planes(image_size), "drawn images"
    batches = _dataset_planes(image_size, data_path)
    return *batches, f"images of {data_path}"


def _drawn_planes(image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Blurred noise of several coarsenesses, so that convolutions at every depth have something to answer to."""
    import cv2

    rng = np.random.default_rng(0)
    y = np.empty((DRAWN_IMAGES, 1, image_size, image_size), np.uint8)
    uv = np.empty((DRAWN_IMAGES, 2, image_size // 2, image_size // 2), np.uint8)
    for index in range(DRAWN_IMAGES):
        cells = 2 ** (1 + index % 5)
        for plane in (*y[index], *uv[index]):
            noise = rng.integers(0, 256, (cells, cells), dtype=np.uint8)
            cv2.resize(noise, plane.shape[::-1], dst=plane, interpolation=cv2.INTER_CUBIC)
    return y, uv


def _dataset_planes(image_size: int, data_path: Path) -> tuple[np.ndarray, np.ndarray]:
    feed = open_eval_feed(
        data_path,
        batch_size=1,
        image_size=image_size,
        rank=0,
        world_size=1,
        normalization=GREY_LEVELS,
        feed="planes",
        threads=1,
    )
    y, uv = [], []
    for batch in feed:
        y.append(batch["y"].copy())
        uv.append(batch["uv"].copy())
        if len(y) == DATASET_IMAGES_MAX:
            break
    return np.concatenate(y), np.concatenate(uv)
