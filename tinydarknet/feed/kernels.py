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
    sizes: np.ndarray,
    spans: np.ndarray,
    interpolated: bool,
    boxes: np.ndarray,
    flips: np.ndarray,
    by_area: np.ndarray,
    places: np.ndarray,
    y: np.ndarray,
    uv: np.ndarray,
) -> None:
    """Turn windows of decoded JPEGs back into their planes (ITU-T T.871, section 7), and fit these.

    A chroma sample s between p and n was enlarged to pixels l and r: both are s if it was repeated; interpolated as by
    libjpeg (jdsample.c, h2v1_fancy_upsample), l = (3 s + p) / 4 and r = (3 s + n) / 4, which makes
    s = (3 l + 3 r - r' - l') / 4 with the pixels r' and l' beside them. So too from row to row.

    Args:
        addresses: of the images, uint8 [H, W, 3] RGB, uintp [N]; the caller keeps the memory alive.
        sizes: H and W, int64 [N, 2].
        spans: rows and columns that a chroma sample spans, 1 or 2, int64 [N, 2].
        interpolated: whether chroma was, or else repeated.
        boxes: the windows: top, left, height, width, all even, int64 [N, 4].
        flips: bool [N].
        by_area: which windows are averaged, bool [N].
        places: of the images in the batch, int64 [N].
        y: uint8 [B, 1, S, S], written at `places`.
        uv: uint8 [B, 2, S/2, S/2], written at `places`.
    """
    for number in range(len(addresses)):
        (rows, columns), (down, across) = sizes[number], spans[number]
        top, left, height, width = boxes[number]
        image = carray(pointer(addresses[number]), (rows, 3 * columns), np.uint8)
        flip, area, place = flips[number], by_area[number], places[number]
        luma = np.empty((height, width), np.uint8)
        for row in range(height):
            _luma_of_row(image[top + row, 3 * left : 3 * (left + width)], luma[row])
        fit_window(luma.ctypes.data, 0, width, height, width, flip, area, y[place])
        # of every pixel of the window, and of those around it
        begin, end, first, last = max(left - 1, 0), min(left + width + 1, columns), max(top - 1, 0), top + height
        enlarged = np.empty((2, min(last + 1, rows) - first, width + 2), np.int16)
        within = slice(begin - left + 1, end - left + 1)
        for row in range(enlarged.shape[1]):
            pixels = image[first + row, 3 * begin : 3 * end]
            _chroma_of_row(pixels, enlarged[0, row, within], enlarged[1, row, within])
        if begin == left:
            enlarged[:, :, 0] = enlarged[:, :, 1]
        if end == left + width:
            enlarged[:, :, -1] = enlarged[:, :, -2]
        chroma, mixed = np.empty((2, height // down, width // across), np.uint8), np.empty(width + 2, np.int16)
        inner_down, inner_across = 3 if interpolated and down > 1 else 2, 3 if interpolated and across > 1 else 2
        for plane in range(2):
            for row in range(height // down):
                one = top - first + row * down
                other = one + down - 1
                above, below = max(one - 1, 0), min(other + 1, enlarged.shape[1] - 1)
                samples = enlarged[plane]
                _mix_rows(samples[above], samples[one], samples[other], samples[below], inner_down, mixed)
                _mix_columns(mixed, across, inner_across, chroma[plane, row])
        _, height, width = chroma.shape
        fit_window(chroma.ctypes.data, height * width, width, height, width, flip, area, uv[place])


@compiled
def _luma_of_row(pixels: np.ndarray, out: np.ndarray) -> None:
    """A row of RGB, uint8 [3 W], to luma, uint8 [W]; weights in 16 bits, as libjpeg's."""
    for at in range(len(out)):
        red, green, blue = np.int32(pixels[3 * at]), np.int32(pixels[3 * at + 1]), np.int32(pixels[3 * at + 2])
        weighted = np.int32(19595) * red + np.int32(38470) * green + np.int32(7471) * blue
        out[at] = np.uint8(np.int32(weighted + np.int32(1 << 15)) >> np.int32(16))


@compiled
def _chroma_of_row(pixels: np.ndarray, u: np.ndarray, v: np.ndarray) -> None:
    """A row of RGB, uint8 [3 W], to u and v around 0, in 32nds of a grey level, int16 [W]."""
    for at in range(len(u)):
        red, green, blue = np.int32(pixels[3 * at]), np.int32(pixels[3 * at + 1]), np.int32(pixels[3 * at + 2])
        blueness = np.int32(-11059) * red - np.int32(21709) * green + np.int32(32768) * blue
        redness = np.int32(32768) * red - np.int32(27439) * green - np.int32(5329) * blue
        u[at], v[at] = np.int16(np.int32(blueness) >> np.int32(11)), np.int16(np.int32(redness) >> np.int32(11))


@compiled
def _mix_rows(
    above: np.ndarray, one: np.ndarray, other: np.ndarray, below: np.ndarray, inner: int, out: np.ndarray
) -> None:
    """Rows with the weights 2 - inner, inner, inner, 2 - inner: four times a row, all int16 [W]."""
    near, far = np.int16(inner), np.int16(2 - inner)
    for at in range(len(out)):
        middle, sides = np.int16(one[at] + other[at]), np.int16(above[at] + below[at])
        out[at] = np.int16(np.int16(near * middle) + np.int16(far * sides))


@compiled
def _mix_columns(row: np.ndarray, across: int, inner: int, out: np.ndarray) -> None:
    """As `_mix_rows` in a row, int16 [W + 2] with a pixel more at each end, in 128ths; to what is stored, uint8."""
    near, far = np.int32(inner), np.int32(2 - inner)
    before, one, other, after = row, row[1:], row[across:], row[across + 1 :]
    middle = np.int32((128 << 9) + (1 << 8) - 1)
    for at in range(len(out)):
        start = np.uintp(at) * np.uintp(across)
        inside, outside = np.int32(one[start] + other[start]), np.int32(before[start] + after[start])
        sample = np.int32(np.int32(near * inside + far * outside) + middle) >> np.int32(9)
        out[at] = np.uint8(min(max(np.int32(sample), np.int32(0)), np.int32(255)))


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
