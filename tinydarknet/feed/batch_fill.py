"""One batch from its plan: pixels first, then what depends on them, then labels and ids.

    plan(step) -> make the images -> an image is damaged: replace it in the plan, make again -> finish

What the images of a batch look like is up to one object: `PlaneImages` or `RgbImages`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal, Protocol

import numpy as np

from tinydarknet.colour import Normalization, colour_matrices, plain_matrix
from tinydarknet.feed.batch_plan import BatchPlan, Planner
from tinydarknet.feed.crops import CROPPERS, Cropper
from tinydarknet.feed.damage import UndecodableRowError
from tinydarknet.feed.kernels import luma_means, planes_to_rgb
from tinydarknet.feed.prefetch import Batch

Stage = Literal["read", "plan", "crop", "finish"]
"""What making a batch consists of: reading ahead for later ones, its plan, its pixels, colours and labels."""

StageTimer = Callable[[Stage, np.ndarray], AbstractContextManager[None]]
"""Entered around every stage of every batch, on the thread that makes it, with the batch's rows int64 [B] (none of them
before they are known): for measurements."""


class BatchImages(Protocol):
    """What a batch's images are: some arrays, and how a plan fills them."""

    columns: tuple[str, ...]
    """Their names."""

    def allocate(self, batch_size: int) -> Batch:
        """Return uninitialised arrays for the images of one batch."""
        ...

    def make(self, plan: BatchPlan, batch: Batch) -> None:
        """Write the pixels; raises UndecodableRowError for an image that does not decode."""
        ...

    def finish(self, plan: BatchPlan, batch: Batch) -> None:
        """Write what needs the pixels of the whole batch."""
        ...


class BatchFiller:
    """Makes batches by number; satisfies `BatchSource`. Adds label int32 [B] and id int64 [B] to the images."""

    def __init__(self, planner: Planner, images: BatchImages, timer: StageTimer | None = None) -> None:
        self.stream = planner.stream
        self.image_columns = images.columns
        self._planner = planner
        self._images = images
        self._timer = timer or _untimed

    def allocate(self) -> Batch:
        """Return uninitialised arrays for one batch."""
        rows = self.stream.batch_size
        return {**self._images.allocate(rows), "label": np.empty(rows, np.int32), "id": np.empty(rows, np.int64)}

    def fill(self, step: int, batch: Batch) -> None:
        """Write batch number `step`, in [0, steps), into `batch`; padding rows repeat row 0 with label and id -1.

        Raises:
            UserError: an image is damaged, and no more may be replaced.
        """
        with self._timer("read", _UNKNOWN_ROWS):
            self._planner.read_ahead(step)
        plan = None
        while plan is None:
            plan = self._try(step, batch)
        with self._timer("finish", plan.rows):
            self._images.finish(plan, batch)
            batch["label"][:] = plan.labels
            batch["id"][:] = plan.ids

    def _try(self, step: int, batch: Batch) -> BatchPlan | None:
        """Make the images as planned; None when one that does not decode must be replaced in the plan first."""
        with self._timer("plan", _UNKNOWN_ROWS):
            plan = self._planner.plan(step)
        try:
            with self._timer("crop", plan.rows):
                self._images.make(plan, batch)
        except UndecodableRowError as error:
            self._planner.health.report(error.row, "is damaged, it does not decode")
            return None
        return plan


class PlaneImages:
    """y uint8 [B, 1, S, S], uv uint8 [B, 2, S/2, S/2], and the matrix that makes them RGB, colour float32 [B, 3, 4]."""

    columns: tuple[str, ...] = ("y", "uv", "colour")

    def __init__(
        self, planner: Planner, image_size: int, normalization: Normalization, crop: Cropper | None = None
    ) -> None:
        """Make them by `crop`; by default by the encoding's cropper."""
        self._dataset = planner.dataset
        self._crop = crop or CROPPERS[planner.dataset.manifest.encoding.name]
        self._size = image_size
        self._normalization = normalization
        self._plain = plain_matrix(normalization)

    def allocate(self, batch_size: int) -> Batch:
        """Return uninitialised arrays for one batch."""
        size, half = self._size, self._size // 2
        return {
            "y": np.empty((batch_size, 1, size, size), np.uint8),
            "uv": np.empty((batch_size, 2, half, half), np.uint8),
            "colour": np.empty((batch_size, 3, 4), np.float32),
        }

    def make(self, plan: BatchPlan, batch: Batch) -> None:
        """Crop, resize and mirror into y and uv."""
        self._crop(self._dataset, plan.rows, plan.windows, batch["y"], batch["uv"])

    def finish(self, plan: BatchPlan, batch: Batch) -> None:
        """Write colour; contrast needs the luma that `make` has written."""
        if plan.factors is None:
            batch["colour"][:] = self._plain
        else:
            batch["colour"][:] = colour_matrices(self._normalization, plan.factors, luma_means(batch["y"]))


class RgbImages:
    """The same images as RGB, made on the host: image [B, 3, S, S], float32 normalised, or uint8 grey levels."""

    columns: tuple[str, ...] = ("image",)

    def __init__(
        self, planner: Planner, image_size: int, normalization: Normalization | None, crop: Cropper | None = None
    ) -> None:
        """Without `normalization`, grey levels; `crop` as in `PlaneImages`."""
        self._size = image_size
        self._dtype = np.uint8 if normalization is None else np.float32
        self._planes = PlaneImages(planner, image_size, normalization or GREY_LEVELS, crop)
        self._scratch = threading.local()

    def allocate(self, batch_size: int) -> Batch:
        """Return an uninitialised array for one batch."""
        return {"image": np.empty((batch_size, 3, self._size, self._size), self._dtype)}

    def make(self, plan: BatchPlan, batch: Batch) -> None:
        """Make the planes, in arrays that this thread keeps."""
        self._planes.make(plan, self._thread_planes(len(batch["image"])))

    def finish(self, plan: BatchPlan, batch: Batch) -> None:
        """Turn them into RGB."""
        planes = self._thread_planes(len(batch["image"]))
        self._planes.finish(plan, planes)
        planes_to_rgb(planes["y"], planes["uv"], planes["colour"], batch["image"], self._dtype == np.uint8)

    def _thread_planes(self, batch_size: int) -> Batch:
        if not hasattr(self._scratch, "planes"):
            self._scratch.planes = self._planes.allocate(batch_size)
        return self._scratch.planes


GREY_LEVELS = Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
"""Nothing subtracted, nothing divided: RGB from 0 to 255."""

_UNKNOWN_ROWS = np.empty(0, np.int64)


def _untimed(_stage: Stage, _rows: np.ndarray) -> AbstractContextManager[None]:
    return contextlib.nullcontext()
