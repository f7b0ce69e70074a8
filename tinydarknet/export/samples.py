"""Images to compare, calibrate and score exported networks on: a dataset's, or drawn ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.dataset.manifest import load_manifest
from convert.image.planes import to_rgb_nearest
from tinydarknet.colour import CHROMA_CENTRE, RGB_FROM_YCC, Normalization, plain_matrix
from tinydarknet.export.design import InputKind
from tinydarknet.export.runners import Inputs
from tinydarknet.feed.loader import open_eval_feed

COMPARED_IMAGES = 64

_FEED_BATCH = 16
_GREY_LEVELS = np.column_stack([RGB_FROM_YCC, RGB_FROM_YCC @ [0.0, -CHROMA_CENTRE, -CHROMA_CENTRE]])
"""float64 [3, 4]: stored YCbCr to RGB grey levels."""


@dataclass(frozen=True)
class Planes:
    """Square images as planes, before any preprocessing."""

    y: np.ndarray
    """uint8 [n, 1, S, S]."""
    uv: np.ndarray
    """uint8 [n, 2, S/2, S/2]."""
    labels: np.ndarray
    """int32 [n]; -1 for drawn images."""
    origin: str
    """Where they come from, such as "drawn images"."""

    def inputs(self, kind: InputKind, normalization: Normalization) -> Inputs:
        """The same images as a network's inputs of a kind, see `design.input_specs`."""
        if kind == "planes":
            return self.y, self.uv, np.repeat(plain_matrix(normalization)[None], len(self.y), axis=0)
        pixels = np.clip(np.rint(to_rgb_nearest(self.y, self.uv, _GREY_LEVELS)), 0, 255)
        if kind == "rgb_uint8":
            return (pixels.astype(np.uint8),)
        if kind == "rgb_float":
            return (pixels.astype(np.float32),)
        mean, std = (np.reshape(value, (1, 3, 1, 1)) for value in (normalization.mean, normalization.std))
        return (((pixels - mean) / std).astype(np.float32),)


def compared_images(image_size: int, data_path: Path | None) -> Planes:
    """COMPARED_IMAGES of them: the first of a dataset (all, if it has fewer), or drawn ones."""
    if data_path is None:
        return drawn_images(image_size, COMPARED_IMAGES)
    parts = list(itertools.islice(dataset_images(image_size, data_path), -(-COMPARED_IMAGES // _FEED_BATCH)))
    y, uv, labels = (np.concatenate([getattr(part, name) for part in parts]) for name in ("y", "uv", "labels"))
    return Planes(y, uv, labels, parts[0].origin)


def dataset_images(image_size: int, data_path: Path) -> Iterator[Planes]:
    """Every image of a dataset once, cropped as evaluation does, in batches of any size up to _FEED_BATCH.

    Raises:
        UserError: no dataset, or a damaged one.
    """
    feed = open_eval_feed(
        data_path,
        batch_size=_FEED_BATCH,
        image_size=image_size,
        normalization=Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        feed="planes" if load_manifest(data_path).encoding.traits.holds_planes else "host",
    )
    for batch in feed:
        real = batch["label"] >= 0
        yield Planes(batch["y"][real], batch["uv"][real], batch["label"][real], f"images of {data_path}")


def drawn_images(image_size: int, count: int) -> Planes:
    """Blurred noise of several coarsenesses, so that convolutions at every depth have something to answer to."""
    import cv2

    rng = np.random.default_rng(0)
    y = np.empty((count, 1, image_size, image_size), np.uint8)
    uv = np.empty((count, 2, image_size // 2, image_size // 2), np.uint8)
    for index in range(count):
        cells = 2 ** (1 + index % 5)
        for plane in (*y[index], *uv[index]):
            noise = rng.integers(0, 256, (cells, cells), dtype=np.uint8)
            cv2.resize(noise, plane.shape[::-1], dst=plane, interpolation=cv2.INTER_CUBIC)
    return Planes(y, uv, np.full(count, -1, np.int32), "drawn images")
