"""JPEGs decoded, cropped and resized by the Ascend's own hardware (DVPP); RGB pixels out.

Not run on Ascend here. No random operator of MindSpore runs on the device, so the windows are drawn on the host, like
every feed's, and passed to deterministic operators, one call each from the feed's threads. Colour stays a matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from convert.errors import UserError
from tinydarknet.colour import LUMA_OF_RGB, Normalization, colour_matrices, matrices_for_rgb, plain_matrix
from tinydarknet.feed.batch_plan import BatchPlan, Planner
from tinydarknet.feed.jpeg_planes import decode_stored
from tinydarknet.feed.prefetch import Batch

JPEGD_SIDE_MIN, JPEGD_SIDE_MAX = 32, 8192
"""What the hardware decoder takes, pixels (CANN's JPEGD description)."""
WINDOW_HEIGHT_MIN, WINDOW_WIDTH_MIN = 4, 6
"""Smallest window that the device crops, pixels (MindSpore's ResizedCrop with device "Ascend")."""

Operator = Callable[[np.ndarray], np.ndarray]


def device_operators(window: tuple[int, int, int, int], flip: bool, image_size: int, device: str) -> list[Any]:
    """MindSpore operators that turn stored bytes, uint8 [n], into pixels, uint8 [S, S, 3], RGB.

    Args:
        window: top, left, height, width in pixels of the stored image.
        flip: whether to mirror left and right.
        image_size: S.
        device: "Ascend", or "CPU" for what the device does not take.
    """
    from mindspore.dataset import vision

    top, left, height, width = window
    operators = [
        vision.Decode(),
        vision.ResizedCrop(top, left, height, width, (image_size, image_size), vision.Inter.BILINEAR),
        *([vision.HorizontalFlip()] if flip else []),
    ]
    return [operator.device(device) for operator in operators]


def runs_on_device(stored_height: int, stored_width: int, window_height: int, window_width: int) -> bool:
    """Whether the hardware takes an image of this size and this window of it."""
    return (
        min(stored_height, stored_width) >= JPEGD_SIDE_MIN
        and max(stored_height, stored_width) <= JPEGD_SIDE_MAX
        and window_height >= WINDOW_HEIGHT_MIN
        and window_width >= WINDOW_WIDTH_MIN
    )


def device_problem(make_operators: Callable[..., Sequence[Operator]] = device_operators) -> str | None:
    """Why hardware decoding cannot be used here, in a few words; None if a tiny JPEG comes through it."""
    _, jpeg = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))
    try:
        _apply(make_operators((0, 0, 64, 64), False, 32, "Ascend"), jpeg.reshape(-1))
    except (RuntimeError, ValueError) as error:
        return _first_line(error)
    return None


class DvppImages:
    """pixels uint8 [B, S, S, 3], RGB, and a matrix for each, colour float32 [B, 3, 4]; of a jpeg or original dataset."""

    columns: tuple[str, ...] = ("pixels", "colour")

    def __init__(
        self,
        planner: Planner,
        image_size: int,
        normalization: Normalization,
        make_operators: Callable[..., Sequence[Operator]] = device_operators,
    ) -> None:
        self._records = planner.records
        self._size = image_size
        self._normalization = normalization
        self._make_operators = make_operators
        self._plain = matrices_for_rgb(plain_matrix(normalization)[None])[0]

    def allocate(self, batch_size: int) -> Batch:
        """Return uninitialised arrays for one batch."""
        return {
            "pixels": np.empty((batch_size, self._size, self._size, 3), np.uint8),
            "colour": np.empty((batch_size, 3, 4), np.float32),
        }

    def make(self, plan: BatchPlan, batch: Batch) -> None:
        """Let the device write the pixels.

        Raises:
            UndecodableRowError: names the row.
            UserError: the device refuses an image that decodes on the host.
        """
        for place, pixels in enumerate(batch["pixels"]):
            pixels[:] = self._image(plan, place)

    def finish(self, plan: BatchPlan, batch: Batch) -> None:
        """Write colour; contrast needs the pixels."""
        if plan.factors is None:
            batch["colour"][:] = self._plain
        else:
            luma_means = np.array([cv2.mean(pixels)[:3] for pixels in batch["pixels"]]) @ LUMA_OF_RGB
            batch["colour"][:] = matrices_for_rgb(colour_matrices(self._normalization, plan.factors, luma_means))

    def _image(self, plan: BatchPlan, place: int) -> np.ndarray:
        records, row, windows = self._records, int(plan.rows[place]), plan.windows
        values = (windows.top, windows.left, windows.height, windows.width)
        top, left, height, width = (int(value[place]) for value in values)
        fits = runs_on_device(int(records.heights[row]), int(records.widths[row]), height, width)
        operators = self._make_operators(
            (top, left, height, width), bool(windows.flip[place]), self._size, "Ascend" if fits else "CPU"
        )
        try:
            return _apply(operators, records.payload(row))
        except RuntimeError as error:
            decode_stored(records, row)  # it is the image's fault where the host cannot decode it either
            raise UserError(
                f"{records.describe(row)} was refused by the device, {_first_line(error)}: decode on the host", "feed"
            ) from error


def _first_line(error: Exception) -> str:
    """MindSpore's reason without the call stack that follows it."""
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


def _apply(operators: Sequence[Operator], image: np.ndarray) -> np.ndarray:
    for operator in operators:
        image = operator(image)
    return image
