"""The part of a stored JPEG that a crop window needs, as a JPEG of its own, cut out without decoding a coefficient.

    stored: a restart marker R after each MCU (16x16 pixels at 4:2:0)        cut: the window's MCUs, R numbered anew

    SOI APPn tables SOF(64x48) DRI SOS                                       SOI tables SOF(32x32) DRI SOS
    mcu R0 mcu R1 mcu R2 mcu R3                                              mcu R0 mcu R1
    mcu R4 mcu R5 mcu R6 mcu R7    -- rows 0 and 1, columns 1 and 2 -->      mcu R2 mcu EOI
    mcu R0 mcu R1 mcu R2 mcu EOI

After a restart marker a decoder starts afresh (ITU-T T.81, E.2.4: DC predictions are zeroed, bits are byte-aligned), so
what lies between two markers means the same wherever it stands. A file without a marker after each MCU keeps its bytes;
only its height is lowered to the window's lower edge, where a decoder then stops. Segments that a decoder might obey or
waste time on (APPn, COM) are dropped. No length and no count of the file is trusted: each is checked before it is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.np.numpy_support import carray

from convert.image.compiled import compiled, load_big_endian, pointer

ROOM_BYTES = 64
"""How much longer than its file a cut may be, generously: nothing is added but what stood in the file too."""

TABLES_BYTES = 1200
"""The most that a file's Huffman tables may take; four DC and four AC tables of a baseline file take 996."""

CUT, FOREIGN, DAMAGED = 0, 1, 2
"""What became of a file: cut; of a kind that is left to another decoder; not what the index says, or broken."""

STATUS, SIZE, TABLES, TOP, LEFT, HEIGHT, WIDTH, DOWN, ACROSS = range(9)
"""Places of a result: one of the above; bytes of the cut and of its Huffman tables; the part of the image it shows; the
rows and columns that a chroma sample spans, 1 in grey images, 0 where components are sampled in an unusual way."""

RESULT_COLUMNS = 9

_FRAME, _COMPONENTS, _MCU_HEIGHT, _MCU_WIDTH, _INTERVAL, _SCAN, _HUFFMAN, _QUANTIZATION, _WANTED, _HEADER, _SAMPLING = (
    range(11)
)
"""Places of a header's facts: where the cut's SOF is (0: none yet); components; pixels of an MCU; MCUs between restart
markers, 0 without; where the scan's bits begin in the file; tables defined, a bit each, and quantization tables wanted;
bytes of the cut's header; luma's sampling factors, as one byte, where chroma's are 1, else 0."""

_SOF0, _SOF1, _DHT, _SOS, _DQT, _DRI, _APP0, _APP14, _APP15, _COM = (
    0xC0, 0xC1, 0xC4, 0xDA, 0xDB, 0xDD, 0xE0, 0xEE, 0xEF, 0xFE,
)  # fmt: skip


@compiled
def cut_window(
    address: int,
    length: int,
    size: np.ndarray,
    box: np.ndarray,
    out: np.ndarray,
    tables: np.ndarray,
    result: np.ndarray,
) -> None:
    """Cut a window out of a JPEG file in memory.

    Args:
        address: of the file; the caller keeps the memory alive.
        length: of the file, bytes.
        size: height and width that it must have, pixels, int64 [2].
        box: the window: top, left, height, width, pixels, int64 [4].
        out: the cut JPEG without its Huffman tables, written, uint8 [length + ROOM_BYTES] at least.
        tables: the DHT segments that belong behind its first two bytes, written, uint8 [TABLES_BYTES].
        result: int64 [RESULT_COLUMNS], written, see `STATUS`.
    """
    file = carray(pointer(np.uintp(address)), (length,), np.uint8)
    result[:] = 0
    result[STATUS] = DAMAGED
    top, left, bottom, right = box[0], box[1], box[0] + box[2], box[1] + box[3]
    fits = 0 <= top < bottom <= size[0] and 0 <= left < right <= size[1]
    if not fits or len(out) < length + ROOM_BYTES or length < 4 or file[0] != 0xFF or file[1] != 0xD8:
        return
    facts = np.zeros(11, np.int64)
    result[STATUS] = _copy_header(file, size, out, tables, facts, result)
    if result[STATUS] != CUT:
        return
    result[STATUS], result[DOWN], result[ACROSS] = DAMAGED, facts[_SAMPLING] & 15, facts[_SAMPLING] >> 4
    mcu_height, mcu_width, interval, begin = facts[_MCU_HEIGHT], facts[_MCU_WIDTH], facts[_INTERVAL], facts[_SCAN]
    rows, columns = (size[0] + mcu_height - 1) // mcu_height, (size[1] + mcu_width - 1) // mcu_width
    marks = np.empty((rows * columns + interval - 1) // interval if interval else 1, np.int64)
    if not _find_marks(file, address, begin, marks):
        return
    end_row, end_column = (bottom + mcu_height - 1) // mcu_height, (right + mcu_width - 1) // mcu_width
    result[HEIGHT], result[WIDTH] = min(size[0], end_row * mcu_height), size[1]
    written = facts[_HEADER]
    if interval == 1:
        first_row, first_column = top // mcu_height, left // mcu_width
        result[TOP], result[LEFT] = first_row * mcu_height, first_column * mcu_width
        result[HEIGHT] -= result[TOP]
        result[WIDTH] = min(size[1], end_column * mcu_width) - result[LEFT]
        number = 0
        for row in range(first_row, end_row):
            first, last = row * columns + first_column, row * columns + end_column - 1
            start = marks[first - 1] + 2 if first else begin
            shift = written - start
            written = _append(file, start, marks[last], out, written) + 2
            for mcu in range(first, last + 1):
                out[marks[mcu] + shift], out[marks[mcu] + shift + 1] = 0xFF, 0xD0 + (number & 7)
                number += 1
    else:
        written = _append(file, begin, marks[-1] + 2, out, written)
    out[written - 2], out[written - 1] = 0xFF, 0xD9
    _put_two_bytes(out, facts[_FRAME] + 5, result[HEIGHT])
    _put_two_bytes(out, facts[_FRAME] + 7, result[WIDTH])
    result[SIZE], result[STATUS] = written, CUT


@compiled
def check_files(addresses: np.ndarray, lengths: np.ndarray, sizes: np.ndarray, results: np.ndarray) -> None:
    """What `cut_window` makes of files for a window of one pixel: of all that it checks, nothing depends on the window.

    Args:
        addresses: of the files, uintp [B]; the caller keeps the memory alive.
        lengths: of the files, bytes, int64 [B].
        sizes: height and width that they must have, int64 [B, 2].
        results: int64 [B, RESULT_COLUMNS], written.
    """
    box, tables, longest = np.array([0, 0, 1, 1]), np.empty(TABLES_BYTES, np.uint8), 0
    for length in lengths:
        longest = max(longest, length)
    out = np.empty(longest + ROOM_BYTES, np.uint8)
    for place in range(len(addresses)):
        cut_window(addresses[place], lengths[place], sizes[place], box, out, tables, results[place])


@compiled
def _copy_header(  # noqa: PLR0912, a branch for each marker
    file: np.ndarray, size: np.ndarray, out: np.ndarray, tables: np.ndarray, facts: np.ndarray, result: np.ndarray
) -> int:
    """Copy what a decoder needs of a file's header, up to the first scan's bits; returns CUT, FOREIGN or DAMAGED.

    Args:
        file: that begins with SOI.
        size: height and width that it must have.
        out: written: SOI, then the DQT, SOF, DRI and SOS segments.
        tables: written: the DHT segments.
        facts: int64 [11] of zeros, written.
        result: the size of `tables` is written to it.
    """
    out[0], out[1] = 0xFF, 0xD8
    written, after, status = 2, 2, CUT
    while status == CUT:
        at = after
        while at + 4 <= len(file) and file[at] == 0xFF and file[at + 1] == 0xFF:  # fill bytes
            at += 1
        if at + 4 > len(file):
            return DAMAGED
        if file[at] != 0xFF:
            return FOREIGN  # surplus bytes, which libjpeg skips
        marker = file[at + 1]
        after = at + 2 + _two_bytes(file, at + 2)
        if after < at + 4 or after > len(file):
            return DAMAGED
        if marker == _DHT:
            defined = _huffman_defined(file, at + 4, after)
            if defined == 0 or result[TABLES] + after - at > len(tables):
                return DAMAGED
            facts[_HUFFMAN] |= defined
            result[TABLES] = _append(file, at, after, tables, result[TABLES])
        elif marker == _DQT:
            defined = _quantization_defined(file, at + 4, after)
            if defined == 0:
                return DAMAGED
            facts[_QUANTIZATION] |= defined
            written = _append(file, at, after, out, written)
        elif marker in (_SOF0, _SOF1):
            status = _check_frame(file, at, after, size, facts)
            facts[_FRAME] = written
            written = _append(file, at, after, out, written)
        elif marker == _DRI:
            if after - at != 6:
                return DAMAGED
            facts[_INTERVAL] = _two_bytes(file, at + 4)
        elif marker == _SOS:
            status = _check_scan(file, at, after, out, facts)
            if facts[_INTERVAL]:
                out[written], out[written + 1], out[written + 2], out[written + 3] = 0xFF, _DRI, 0, 4
                _put_two_bytes(out, written + 4, facts[_INTERVAL])
                written += 6
            facts[_SCAN], facts[_HEADER] = after, _append(file, at, after, out, written)
            return status
        elif marker == _APP14:
            # Adobe's: byte 11 says what the components are, 1 for Y, Cb and Cr
            if after - at >= 16 and file[at + 4] == ord("A") and file[at + 15] != 1 and facts[_COMPONENTS] != 1:
                return FOREIGN
        elif not (_APP0 <= marker <= _APP15 or marker == _COM):
            return FOREIGN
    return status


@compiled
def _check_frame(file: np.ndarray, at: int, after: int, size: np.ndarray, facts: np.ndarray) -> int:
    """What to make of the SOF segment [at, after); writes the components and the size of an MCU."""
    if facts[_FRAME] or after - at < 13:
        return DAMAGED
    components = np.int64(file[at + 9])
    if file[at + 4] != 8 or components not in (1, 3):
        return FOREIGN
    if after - at != 10 + 3 * components or _two_bytes(file, at + 5) != size[0] or _two_bytes(file, at + 7) != size[1]:
        return DAMAGED
    facts[_COMPONENTS] = components
    for spec in range(at + 10, after, 3):
        across, down, table = np.int64(file[spec + 1]) >> 4, np.int64(file[spec + 1]) & 15, file[spec + 2]
        if not (1 <= across <= 4 and 1 <= down <= 4 and table <= 3):
            return DAMAGED
        if components == 1 and across * down != 1:
            return FOREIGN  # has one block an MCU, whatever its factors
        facts[_MCU_WIDTH] = max(facts[_MCU_WIDTH], 8 * across)
        facts[_MCU_HEIGHT] = max(facts[_MCU_HEIGHT], 8 * down)
        facts[_WANTED] |= 1 << table
    if components == 1 or (file[at + 14] == 0x11 and file[at + 17] == 0x11):
        facts[_SAMPLING] = file[at + 11]
    named_rgb = (
        components == 3 and file[at + 10] == ord("R") and file[at + 13] == ord("G") and file[at + 16] == ord("B")
    )
    return FOREIGN if named_rgb else CUT


@compiled
def _check_scan(file: np.ndarray, at: int, after: int, out: np.ndarray, facts: np.ndarray) -> int:
    """What to make of the SOS segment [at, after): CUT if it is of all components, and their tables are there."""
    components, frame = facts[_COMPONENTS], facts[_FRAME]
    if not frame or after - at < 8 or (facts[_WANTED] & ~facts[_QUANTIZATION]) != 0:
        return DAMAGED
    if file[at + 4] != components:
        return FOREIGN  # several scans
    if after - at != 8 + 2 * components:
        return DAMAGED
    for component in range(components):
        name, chosen = file[at + 5 + 2 * component], np.int64(file[at + 6 + 2 * component])
        wanted = (1 << (chosen >> 4)) | (16 << (chosen & 15))
        if name != out[frame + 10 + 3 * component] or (chosen & 0xCC) or (wanted & ~facts[_HUFFMAN]) != 0:
            return DAMAGED
    return CUT


@compiled
def _two_bytes(file: np.ndarray, at: int) -> Any:
    return np.int64(file[at]) << 8 | np.int64(file[at + 1])


@compiled
def _put_two_bytes(out: np.ndarray, at: int, value: int) -> None:
    out[at], out[at + 1] = value >> 8, value & 255


@compiled
def _append(file: np.ndarray, begin: int, end: int, out: np.ndarray, size: int) -> int:
    """Copy the bytes [begin, end) to `out`, which has room for them; returns its new size."""
    out[size : size + end - begin] = file[begin:end]
    return size + end - begin


@compiled
def _huffman_defined(file: np.ndarray, at: Any, end: int) -> int:
    """The tables that a DHT segment's body defines, one bit each: DC 0 to 3, then AC 0 to 3; 0 if it is broken."""
    defined = 0
    while at < end:
        kind = file[at]
        if at + 17 > end or (kind & 0xEC) != 0:
            return 0
        codes = np.int64(0)
        for length in range(1, 17):
            codes += np.int64(file[at + length])
        if codes > 256:
            return 0
        defined |= 1 << ((kind >> 4) * 4 + (kind & 3))
        at += 17 + codes
    return defined if at == end else 0


@compiled
def _quantization_defined(file: np.ndarray, at: Any, end: int) -> int:
    """The tables that a DQT segment's body defines, one bit each; 0 if it is broken."""
    defined = 0
    while at < end:
        kind = file[at]
        if (kind & 0xEC) != 0:
            return 0
        defined |= 1 << (kind & 3)
        at += 65 + 64 * np.int64(kind >> 4)
    return defined if at == end else 0


@compiled
def _find_marks(file: np.ndarray, address: int, begin: int, marks: np.ndarray) -> bool:
    """Find where each restart interval ends; False unless all markers are there, in turn, and an end of image behind.

    Args:
        file: a JPEG.
        address: of it.
        begin: where its scan's bits begin.
        marks: where each interval's bytes end, int64 [intervals], written.
    """
    found, at, end, last = 0, begin, len(file), len(marks) - 1
    while at < end - 1:
        if at + 8 <= end:
            word = load_big_endian(np.uintp(address) + np.uintp(at))
            # a byte of 0xFF is a zero of the complement, found by its borrow
            if ((~word - np.uint64(0x0101010101010101)) & word & np.uint64(0x8080808080808080)) == 0:
                at += 8
                continue
            stop = at + 8
        else:
            stop = end
        while at < stop:
            if file[at] == 0xFF and at + 1 < end:
                marker = file[at + 1]
                if marker == 0xD9:
                    marks[found] = at
                    return found == last
                if 0 < marker < 0xFF:
                    if found == last or marker != 0xD0 + (found & 7):
                        return False
                    marks[found] = at
                    found += 1
                    at += 1
            at += 1
    return False
