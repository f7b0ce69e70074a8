"""Compiled loops over pixels (numba): a whole batch in one call without the interpreter lock, so that threads scale.

The resize is OpenCV's INTER_LINEAR for uint8 (`resize.cpp`, HResizeLinear and VResizeLinear): pixel centres, weights in
11 bits, across first, then down. A test holds the two equal byte by byte.
"""

from __future__ import annotations

import numpy as np
from numba.np.numpy_support import carray

from convert.image.compiled import compiled, pointer
from convert.image.shrink import shrink

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
def shrink_window(
    address: int, next_plane: int, stride: int, height: int, width: int, flip: bool, out: np.ndarray
) -> None:
    """As `resize_window`, by area."""
    for plane in range(out.shape[0]):
        start = np.uintp(address) + np.uintp(plane * next_plane)
        window = carray(pointer(start), ((height - 1) * stride + width,), np.uint8)
        shrink(window, height, width, 1, stride, flip, out[plane])


@compiled
def fit_window(
    address: int, next_plane: int, stride: int, height: int, width: int, flip: bool, by_area: bool, out: np.ndarray
) -> None:
    """As `resize_window`, or, `by_area`, as `shrink_window`."""
    if by_area:
        shrink_window(address, next_plane, stride, height, width, flip, out)
    else:
        resize_window(address, next_plane, stride, height, width, flip, out)


@compiled
def crop_rgb(
    addresses: np.ndarray,
    strides: np.ndarray,
    boxes: np.ndarray,
    flips: np.ndarray,
    by_area: np.ndarray,
    places: np.ndarray,
    y: np.ndarray,
    uv: np.ndarray,
) -> None:
    """Turn windows of RGB images into planes (ITU-T T.871, section 7), a chroma pixel for 2x2 pixels, and fit them.

    Args:
        addresses: of the images, uintp [N]; the caller keeps the memory alive.
        strides: bytes from a row to the next, int64 [N].
        boxes: the windows: top, left, height, width, all even, int64 [N, 4].
        flips: bool [N].
        by_area: which windows are averaged, bool [N].
        places: of the images in the batch, int64 [N].
        y: uint8 [B, 1, S, S], written at `places`.
        uv: uint8 [B, 2, S/2, S/2], written at `places`.
    """
    for number in range(len(addresses)):
        top, left, height, width = boxes[number]
        start = addresses[number] + np.uintp(top * strides[number] + 3 * left)
        luma, chroma = np.empty((height, width), np.uint8), np.empty((2, height // 2, width // 2), np.uint8)
        for row in range(height):
            pixels = carray(pointer(start + np.uintp(row * strides[number])), (width, 3), np.uint8)
            _luma_of_row(pixels, luma[row])
        for row in range(height // 2):
            upper = carray(pointer(start + np.uintp(2 * row * strides[number])), (width // 2, 6), np.uint8)
            lower = carray(pointer(start + np.uintp((2 * row + 1) * strides[number])), (width // 2, 6), np.uint8)
            _chroma_of_rows(upper, lower, chroma[0, row], chroma[1, row])
        flip, area, place = flips[number], by_area[number], places[number]
        fit_window(luma.ctypes.data, 0, width, height, width, flip, area, y[place])
        next_plane = height * width // 4
        fit_window(chroma.ctypes.data, next_plane, width // 2, height // 2, width // 2, flip, area, uv[place])


@compiled
def _luma_of_row(pixels: np.ndarray, out: np.ndarray) -> None:
    """A row of RGB, uint8 [W, 3], to luma, uint8 [W]; weights in 16 bits, as libjpeg's."""
    for at in range(len(out)):
        red, green, blue = np.int32(pixels[at, 0]), np.int32(pixels[at, 1]), np.int32(pixels[at, 2])
        weighted = np.int32(19595) * red + np.int32(38470) * green + np.int32(7471) * blue
        out[at] = np.uint8(np.int32(weighted + np.int32(1 << 15)) >> np.int32(16))


@compiled
def _chroma_of_rows(upper: np.ndarray, lower: np.ndarray, u: np.ndarray, v: np.ndarray) -> None:
    """Two rows of RGB, two pixels at a time, uint8 [W/2, 6], to u and v, uint8 [W/2]: the means of 2x2 pixels."""
    middle = np.int32((128 << 18) + (1 << 17) - 1)
    for at in range(len(u)):
        red = np.int32(upper[at, 0]) + np.int32(upper[at, 3]) + np.int32(lower[at, 0]) + np.int32(lower[at, 3])
        green = np.int32(upper[at, 1]) + np.int32(upper[at, 4]) + np.int32(lower[at, 1]) + np.int32(lower[at, 4])
        blue = np.int32(upper[at, 2]) + np.int32(upper[at, 5]) + np.int32(lower[at, 2]) + np.int32(lower[at, 5])
        blueness = middle - np.int32(11059) * red - np.int32(21709) * green + np.int32(32768) * blue
        redness = middle + np.int32(32768) * red - np.int32(27439) * green - np.int32(5329) * blue
        u[at], v[at] = np.uint8(np.int32(blueness) >> np.int32(18)), np.uint8(np.int32(redness) >> np.int32(18))


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
