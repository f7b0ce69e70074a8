"""Compiled loops over pixels (numba): a whole batch in one call without the interpreter lock, so that threads scale.

The resize is OpenCV's INTER_LINEAR for uint8 (`resize.cpp`, HResizeLinear and VResizeLinear): pixel centres, weights in
11 bits, across first, then down. A test holds the two equal byte by byte.
"""

from __future__ import annotations

import numpy as np
from numba.np.numpy_support import carray

from convert.compiled import compiled, pointer

_WEIGHT_ONE = 2048
"""A weight of 1; the two weights of a pixel add up to it."""


@compiled
def resize_windows(
    addresses: np.ndarray,
    next_plane: np.ndarray,
    strides: np.ndarray,
    heights: np.ndarray,
    widths: np.ndarray,
    flips: np.ndarray,
    out: np.ndarray,
) -> None:
    """Resize windows that lie in memory, and mirror some of them.

    Args:
        addresses: of each window's first pixel in its first plane, uintp [B]; the caller keeps the memory alive.
        next_plane: bytes from a pixel to the same pixel of the image's next plane, int64 [B].
        strides: bytes from a row to the next, int64 [B].
        heights: of the windows, pixels, int64 [B].
        widths: likewise.
        flips: bool [B].
        out: uint8 [B, planes, S, S], written.
    """
    for place in range(len(addresses)):
        resize_window(
            addresses[place], next_plane[place], strides[place], heights[place], widths[place], flips[place], out[place]
        )


@compiled
def resize_window(
    address: int, next_plane: int, stride: int, height: int, width: int, flip: bool, out: np.ndarray
) -> None:
    """As `resize_windows`, one image: into uint8 [planes, S, S]."""
    side = out.shape[1]
    neighbours, weights = np.empty(side, np.int64), np.empty((2, side), np.int32)
    left, packed = np.empty(side, np.uint64), np.empty(side, np.uint64)
    pairs = np.empty(width, np.uint32)
    resized = np.empty((2, side), np.int16)
    _neighbours(width, neighbours, weights)
    _pack_columns(neighbours, weights, width, flip, left, packed)
    _neighbours(height, neighbours, weights)
    for plane in range(out.shape[0]):
        start = np.uintp(address) + np.uintp(plane * next_plane)
        window = carray(pointer(start), ((height - 1) * stride + width,), np.uint8)
        newest = -1
        for row in range(side):
            first = max(neighbours[row], 0)
            second = min(neighbours[row] + 1, height - 1)
            for needed in range(max(newest + 1, first), second + 1):
                pixels = window[needed * stride : needed * stride + width]
                _blend_across(pixels, left, packed, pairs, resized[needed & 1])
            newest = max(newest, second)
            near, far = weights[0, row], weights[1, row]
            _blend_down(resized[first & 1], resized[second & 1], near, far, out[plane, row])


@compiled
def _neighbours(length: int, first: np.ndarray, weights: np.ndarray) -> None:
    """For every pixel out: the first of the two pixels in, int64 [S], in [-1, length), and both weights, int32 [2, S]."""
    scale = 1.0 / (len(first) / length)
    for pixel in range(len(first)):
        place = np.float32((pixel + 0.5) * scale - 0.5)
        whole = int(np.floor(place))
        part = np.float32(place - np.float32(whole))
        first[pixel] = whole
        weights[0, pixel] = np.int32(np.rint((np.float32(1) - part) * np.float32(_WEIGHT_ONE)))
        weights[1, pixel] = np.int32(np.rint(part * np.float32(_WEIGHT_ONE)))


@compiled
def _pack_columns(
    first: np.ndarray, weights: np.ndarray, width: int, flip: bool, left: np.ndarray, packed: np.ndarray
) -> None:
    """What `_blend_across` takes: left neighbours inside the row, uint64 [S], and both weights in one word, uint64 [S]."""
    last = width - 1
    for pixel in range(len(first)):
        place, near, far = first[pixel], weights[0, pixel], weights[1, pixel]
        if place < 0 or place >= last:
            place, near, far = min(max(place, 0), last), _WEIGHT_ONE, 0
        column = len(first) - 1 - pixel if flip else pixel
        left[column] = place
        packed[column] = np.uint64(far) | (np.uint64(near) << np.uint64(24))


@compiled
def _blend_across(pixels: np.ndarray, left: np.ndarray, packed: np.ndarray, pairs: np.ndarray, out: np.ndarray) -> None:
    """One row uint8 [W] to int16 [S], in 128ths of a grey level, by one multiplication for each pixel.

    A pixel and its right neighbour times far and near: bits 24 to 43 of the product hold near * pixel + far * neighbour.
    """
    last = len(pixels) - 1
    for column in range(last):
        pairs[column] = np.uint32(pixels[column]) | (np.uint32(pixels[column + 1]) << np.uint32(24))
    pairs[last] = pixels[last]
    for column in range(len(out)):
        out[column] = (np.uint64(pairs[left[column]]) * packed[column]) >> np.uint64(28)


@compiled
def _blend_down(first: np.ndarray, second: np.ndarray, near: int, far: int, out: np.ndarray) -> None:
    """Two rows int16 [S] to one uint8 [S]; all in 16 bits, so that a processor's short vectors take it."""
    near_weight, far_weight = np.int32(np.int16(near)), np.int32(np.int16(far))
    for column in range(len(out)):
        upper = np.int16((np.int32(first[column]) * near_weight) >> 16)
        lower = np.int16((np.int32(second[column]) * far_weight) >> 16)
        out[column] = np.uint8(np.int16(np.int16(upper + lower) + np.int16(2)) >> np.int16(2))


@compiled
def luma_means(y: np.ndarray) -> np.ndarray:
    """Mean grey level of every luma plane, float64 [B], for y uint8 [B, 1, S, S]."""
    means = np.empty(y.shape[0])
    for place in range(y.shape[0]):
        total = 0
        for row in range(y.shape[2]):
            row_total = np.uint32(0)
            for column in range(y.shape[3]):
                row_total += np.uint32(y[place, 0, row, column])
            total += row_total
        means[place] = total / (y.shape[2] * y.shape[3])
    return means


@compiled
def planes_to_rgb(y: np.ndarray, uv: np.ndarray, colour: np.ndarray, out: np.ndarray, whole: bool) -> None:
    """Map every pixel by its image's colour matrix, each chroma sample serving its 2x2 pixels.

    Args:
        y: uint8 [B, 1, S, S].
        uv: uint8 [B, 2, S/2, S/2].
        colour: float32 [B, 3, 4].
        out: float32 or uint8 [B, 3, S, S], written.
        whole: round, and clip to [0, 255], as uint8 needs it.
    """
    side = y.shape[2]
    offsets = np.empty(side, np.float32)
    for place in range(y.shape[0]):
        for channel in range(3):
            gain, of_u, of_v, offset = colour[place, channel]
            if whole:
                offset += np.float32(0.5)
            for row in range(side):
                if row % 2 == 0:
                    for half in range(side // 2):
                        u, v = np.float32(uv[place, 0, row // 2, half]), np.float32(uv[place, 1, row // 2, half])
                        offsets[2 * half] = offsets[2 * half + 1] = of_u * u + of_v * v + offset
                _map_row(y[place, 0, row], gain, offsets, whole, out[place, channel, row])


@compiled
def _map_row(luma: np.ndarray, gain: float, offsets: np.ndarray, whole: bool, out: np.ndarray) -> None:
    """gain * luma + offsets for one row, float32 [S]; clipped to what uint8 holds if `whole`."""
    if whole:
        for column in range(len(out)):
            value = np.int32(gain * np.float32(luma[column]) + offsets[column])
            out[column] = min(max(value, np.int32(0)), np.int32(255))
    else:
        for column in range(len(out)):
            out[column] = gain * np.float32(luma[column]) + offsets[column]
