"""Stored JPEGs -> the planes of a batch: each window cut out, decoded to planes, resized; no BGR on the way.

    jpeg_window.cut_window      the bytes that a window needs
    ffmpeg.decode_jpeg          bytes -> Y, U, V
    kernels.resize_window       planes -> the batch

One compiled call takes a whole batch through all three, without the interpreter lock. The few images of a kind that has no
planes of 8 bits here, and all of them where FFmpeg is missing, are decoded whole by OpenCV, to BGR and back.
"""

from __future__ import annotations

import functools
import sys
import threading
from contextlib import suppress

import cv2
import numpy as np
import simplejpeg

from convert.dataset import Dataset
from convert.image.compiled import compiled
from tinydarknet.feed.augment import Windows
from tinydarknet.feed.damage import UndecodableRowError
from tinydarknet.feed.ffmpeg import JpegDecoder, decode_jpeg, problem
from tinydarknet.feed.jpeg_window import (
    CUT,
    DAMAGED,
    FOREIGN,
    HEIGHT,
    LEFT,
    RESULT_COLUMNS,
    ROOM_BYTES,
    SIZE,
    STATUS,
    TABLES,
    TABLES_BYTES,
    TOP,
    WIDTH,
    cut_window,
)  # fmt: skip
from tinydarknet.feed.kernels import fit_window

_GREY_CHROMA = 128

_AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
"""The converter has applied every EXIF orientation."""

_threads = threading.local()


@functools.cache
def _has_ffmpeg() -> bool:
    """Whether FFmpeg can be used; says once what is lost where it cannot."""
    if problem():
        print(
            f"FFmpeg cannot be loaded ({problem()}): OpenCV decodes all stored JPEGs whole, at less than half "
            "the rate; pip install av",
            file=sys.stderr,
        )
    return not problem()


def decode_windows(dataset: Dataset, rows: np.ndarray, windows: Windows, y: np.ndarray, uv: np.ndarray) -> None:
    """Cut, decode, resize and mirror the images of `rows` into a batch.

    Windows are interpolated linearly, as the reference does; evaluation's, where they shrink, are averaged by area,
    as the converter does it for planes.

    Args:
        dataset: a jpeg or original dataset.
        rows: int64 [B].
        windows: one per row, in pixels of the stored image.
        y: uint8 [B, 1, S, S], written.
        uv: uint8 [B, 2, S/2, S/2], written.

    Raises:
        UndecodableRowError: names the row.
    """
    statuses = np.full(len(rows), FOREIGN, np.int64)
    if _has_ffmpeg():
        if not hasattr(_threads, "decoder"):
            _threads.decoder, _threads.tables = JpegDecoder(), np.zeros(TABLES_BYTES, np.uint8)
        decoder = _threads.decoder
        lengths = dataset.lengths(rows)
        sizes = np.stack([dataset.heights[rows], dataset.widths[rows]], axis=1)
        boxes = np.stack([windows.top, windows.left, windows.height, windows.width], axis=1)
        by_area = windows.smooth & (np.minimum(windows.height, windows.width) > y.shape[-1])
        scratch = np.empty(TABLES_BYTES + lengths.max(initial=0) + ROOM_BYTES, np.uint8)
        _make_planes(
            decoder.handles, decoder.formats, _threads.tables, dataset.addresses(rows), lengths, sizes, boxes,
            windows.flip, by_area, scratch, y, uv, statuses,
        )  # fmt: skip
    if (statuses == DAMAGED).any():
        del _threads.decoder  # what it holds now is anyone's guess
        raise UndecodableRowError(int(rows[(statuses == DAMAGED).argmax()]))
    for place in np.flatnonzero(statuses == FOREIGN).tolist():
        one = slice(place, place + 1)
        _decode_with_opencv(dataset, rows[one], windows.part(one), y[one], uv[one])


@compiled
def _make_planes(
    handles: np.ndarray,
    formats: np.ndarray,
    last_tables: np.ndarray,
    addresses: np.ndarray,
    lengths: np.ndarray,
    sizes: np.ndarray,
    boxes: np.ndarray,
    flips: np.ndarray,
    by_area: np.ndarray,
    scratch: np.ndarray,
    y: np.ndarray,
    uv: np.ndarray,
    statuses: np.ndarray,
) -> None:
    """Take a batch through cutting, decoding and resizing, up to the first damaged image.

    Args:
        handles: of a `JpegDecoder`, as are `formats`.
        formats: see there.
        last_tables: the Huffman tables that the decoder holds, zeros if none, uint8 [TABLES_BYTES], written.
        addresses: of the files, uintp [B].
        lengths: of the files, bytes, int64 [B].
        sizes: height and width that they must have, int64 [B, 2].
        boxes: the windows: top, left, height, width, int64 [B, 4].
        flips: bool [B].
        by_area: which windows are averaged, bool [B].
        scratch: uint8 [TABLES_BYTES + the longest file + ROOM_BYTES], written; the caller's, so that it stays alive.
        y: uint8 [B, 1, S, S], written.
        uv: uint8 [B, 2, S/2, S/2], written.
        statuses: what became of each image, int64 [B], written.
    """
    result, planes = np.empty(RESULT_COLUMNS, np.int64), np.empty(9, np.int64)
    tables = np.zeros(TABLES_BYTES, np.uint8)
    for place in range(len(addresses)):
        tables[:] = 0
        cut_window(addresses[place], lengths[place], sizes[place], boxes[place], scratch[TABLES_BYTES:], tables, result)
        statuses[place] = result[STATUS]
        if result[STATUS] == DAMAGED:
            return
        if result[STATUS] == FOREIGN:
            continue
        begin = TABLES_BYTES
        if (tables != last_tables).any():  # the decoder keeps them from one image to the next
            begin -= result[TABLES]
            scratch[begin], scratch[begin + 1] = 0xFF, 0xD8
            scratch[begin + 2 : TABLES_BYTES + 2] = tables[: result[TABLES]]
            last_tables[:] = tables
        if (
            not decode_jpeg(handles, scratch[begin : TABLES_BYTES + result[SIZE]], planes)
            or planes[6] != result[HEIGHT]
            or planes[7] != result[WIDTH]
        ):
            last_tables[:] = 0
            statuses[place] = DAMAGED
            return
        statuses[place] = FOREIGN
        for number in range(len(formats)):
            if formats[number, 0] == planes[8]:
                statuses[place] = CUT
                down, across = formats[number, 1], formats[number, 2]
        if statuses[place] == FOREIGN:
            continue
        top, left = boxes[place, 0] - result[TOP], boxes[place, 1] - result[LEFT]
        height, width = boxes[place, 2], boxes[place, 3]
        area, flip = by_area[place], flips[place]
        fit_window(planes[0] + top * planes[3] + left, 0, planes[3], height, width, flip, area, y[place])
        if down:
            start = planes[1] + top // down * planes[4] + left // across
            height, width = max(1, height // down), max(1, width // across)
            fit_window(start, planes[2] - planes[1], planes[4], height, width, flip, area, uv[place])
        else:
            uv[place] = _GREY_CHROMA


def _decode_with_opencv(dataset: Dataset, rows: np.ndarray, windows: Windows, y: np.ndarray, uv: np.ndarray) -> None:
    """As `decode_windows`, but each image whole, to BGR; libjpeg halves it where its window is twice as large as S."""
    side = y.shape[-1]
    half = (side // 2, side // 2)
    boxes = np.stack([rows, windows.top, windows.left, windows.height, windows.width, windows.flip], axis=1)
    for place, (row, top, left, height, width, flip) in enumerate(boxes.tolist()):
        shrink = 2 if min(height, width) >= 2 * side else 1
        pixels = decode_stored(dataset, row, halved=shrink == 2)
        down = slice(top // shrink, (top + height) // shrink)
        across = slice(left // shrink, (left + width) // shrink)
        by_area = windows.smooth and min(height, width) > side * shrink
        window = cv2.resize(
            pixels[down, across], (side, side), interpolation=cv2.INTER_AREA if by_area else cv2.INTER_LINEAR
        )
        luma, cr, cb = cv2.split(cv2.cvtColor(cv2.flip(window, 1) if flip else window, cv2.COLOR_BGR2YCrCb))
        y[place, 0] = luma
        cv2.resize(cb, half, dst=uv[place, 0], interpolation=cv2.INTER_AREA)
        cv2.resize(cr, half, dst=uv[place, 1], interpolation=cv2.INTER_AREA)


def decode_stored(dataset: Dataset, row: int, *, halved: bool = False) -> np.ndarray:
    """The whole image of a row as it is stored, uint8 [H, W, 3] BGR, or at half its size, rounded up.

    Raises:
        UndecodableRowError: it does not decode, or not to the size that the index gives.
    """
    payload, size = dataset.payload(row), (dataset.heights[row], dataset.widths[row])
    with suppress(ValueError):  # no JPEG
        # before gigabytes are decoded of what a damaged header promises
        if simplejpeg.decode_jpeg_header(payload, strict=False)[:2] != size:
            raise UndecodableRowError(row)
    shrink = 2 if halved else 1
    try:
        pixels = cv2.imdecode(payload, _AS_STORED | (cv2.IMREAD_REDUCED_COLOR_2 if halved else 0))
    except cv2.error as error:  # a header that promises more pixels than OpenCV takes
        raise UndecodableRowError(row) from error
    if pixels is None or pixels.shape[:2] != tuple(-(-side // shrink) for side in size):
        raise UndecodableRowError(row)
    return pixels
