"""Restart markers after each MCU of a baseline JPEG, put in without touching a coefficient.

After a marker a decoder starts afresh (ITU-T T.81, E.2.4): bits are byte-aligned, DC predictions are zero. So of an
MCU's bits only the first DC difference of each component is written anew, as the DC value itself; the rest is copied.
Every decoder makes the same pixels as before, bit by bit, and a reader can cut single MCUs out of the file.
"""

from __future__ import annotations

import functools
import struct
from typing import Any, NamedTuple

import numpy as np

from convert.compiled import compiled, load_big_endian
from convert.image import jpeg_header

_QUICK_BITS = 11
"""Codes of up to so many bits are found by one look into a table; the others are rare."""

_QUICK_SHIFT = np.uint64(64 - _QUICK_BITS)

_USED_MAX = 57 - 31
"""Bits of a word after whose use the longest code and its magnitude, 16 and 15 bits, may no longer be in it."""

_MCU_BYTES_MAX = 48 * 64 * 4 + 16
"""More than an MCU's codes can take: 3 components of 4x4 blocks, 64 codes each, of at most 31 bits."""

_CATEGORY_MAX = 11
"""Magnitude bits of a DC value at 8 bits per sample (T.81, table F.1)."""

_BLOCK = 64
"""Coefficients of a block; also what an end-of-block code advances by."""


def with_restart_markers(file: bytes) -> bytes:
    """The same JPEG with a restart marker after each MCU.

    Raises:
        ValueError: it is no Huffman-coded JPEG of 8 bits in a single sequential scan, it has restart markers already, its tables
            lack the code of a DC value (tables made for one file may), or its bits make no sense.
        BadImageError: it ends in its header.
    """
    tables: list[bytes] = []
    frame = scan = b""
    scan_at = bits_at = 2
    for marker, body, end in jpeg_header.segments(file):
        if marker == 0xC4:
            tables.append(body)
        elif marker in (0xC0, 0xC1):
            frame = body
        elif marker == 0xDD or 0xC2 <= marker <= 0xCF:
            raise ValueError("no sequential Huffman JPEG without restart markers")
        scan, scan_at, bits_at = body, end - len(body) - 4, end
    blocks, mcus = _layout(frame, scan)
    bits = np.frombuffer(file, np.uint8, offset=bits_at)
    out = np.empty(2 * len(bits) + 32 * mcus + 64, np.uint8)
    plain = np.zeros(len(bits) + _MCU_BYTES_MAX, np.uint8)
    written = _mark(bits, plain, _huffman_tables(b"".join(tables)), blocks, mcus, out)
    if written == 0:
        raise ValueError("the bits of a JPEG make no sense, or a DC value has no code")
    return b"".join((file[:scan_at], b"\xff\xdd\x00\x04\x00\x01", file[scan_at:bits_at], out[:written].tobytes()))


class _HuffmanTables(NamedTuple):
    """Codes by their first bits, and symbols by theirs; four DC tables, then four AC tables (T.81, annex C)."""

    quick: np.ndarray
    """By the first 11 bits: length << 8 | symbol, int32 [8, 2048]; 0 where no code is so short."""
    ends: np.ndarray
    """What follows the last code of each length, left-aligned in 16 bits, int32 [8, 17]."""
    places: np.ndarray
    """What to add to a code of each length for its symbol's place, int32 [8, 17]."""
    symbols: np.ndarray
    """In the order of their codes, uint8 [8, 256]."""
    codes: np.ndarray
    """By symbol, int64 [8, 256]."""
    lengths: np.ndarray
    """Of the codes by symbol, int64 [8, 256]; 0 where there is none."""


@functools.lru_cache(maxsize=16)
def _huffman_tables(body: bytes) -> _HuffmanTables:
    """What the bodies of a file's DHT segments define; most files share one set."""
    quick = np.zeros((8, 1 << _QUICK_BITS), np.int32)
    ends, places = np.zeros((8, 17), np.int32), np.zeros((8, 17), np.int32)
    symbols = np.zeros((8, 256), np.uint8)
    codes, lengths = np.zeros((8, 256), np.int64), np.zeros((8, 256), np.int64)
    while body:
        table, total = (body[0] >> 4) * 4 + (body[0] & 3), sum(body[1:17])
        if body[0] & 0xEC or total > 256 or len(body) < 17 + total:
            raise ValueError("a damaged Huffman table")
        values = np.frombuffer(body, np.uint8, total, 17)
        quick[table], lengths[table], symbols[table] = 0, 0, 0
        symbols[table, :total] = values
        code, place = 0, 0
        for length, count in enumerate(body[1:17], 1):
            places[table, length] = place - code
            new = np.arange(code, code + count)
            codes[table, values[place : place + count]], lengths[table, values[place : place + count]] = new, length
            if length <= _QUICK_BITS and code + count <= 1 << length:
                width = 1 << (_QUICK_BITS - length)
                entries = (length << 8) | values[place : place + count].astype(np.int32)
                quick[table, code * width : (code + count) * width] = np.repeat(entries, width)
            code, place = code + count, place + count
            if code > 1 << length:
                raise ValueError("a damaged Huffman table")
            ends[table, length] = code << (16 - length)
            code <<= 1
        body = body[17 + total :]
    return _HuffmanTables(quick, ends, places, symbols, codes, lengths)


def _layout(frame: bytes, scan: bytes) -> tuple[np.ndarray, int]:
    """The blocks of an MCU as component, DC table and AC table, int64 [blocks, 3], and the number of MCUs."""
    components = len(frame) // 3 - 2
    if (
        components not in (1, 3)
        or len(frame) != 6 + 3 * components
        or frame[0] != 8
        or len(scan) != 4 + 2 * components
        or [scan[0], *scan[1:-3:2]] != [components, *frame[6::3]]
    ):
        raise ValueError("no frame of 1 or 3 components of 8 bits in one scan")
    height, width = struct.unpack_from(">HH", frame, 1)
    factors = [(spec >> 4, spec & 15) for spec in frame[7::3]] if components == 3 else [(1, 1)]
    tables = [(spec >> 4, 4 + (spec & 15)) for spec in scan[2:-3:2]]
    across, down = (max(pair) for pair in zip(*factors, strict=True))
    if min(map(min, factors)) < 1 or max(across, down) > 4 or any(dc > 3 or ac > 7 for dc, ac in tables):
        raise ValueError("impossible sampling factors or tables")
    blocks = [
        (component, *pair)
        for component, ((x, y), pair) in enumerate(zip(factors, tables, strict=True))
        for _ in range(x * y)
    ]
    return np.array(blocks, np.int64), -(-height // (8 * down)) * -(-width // (8 * across))


@compiled
def _mark(
    stuffed: np.ndarray, plain: np.ndarray, tables: _HuffmanTables, blocks: np.ndarray, mcus: int, out: np.ndarray
) -> int:
    """Write a scan's bits again, with markers; returns the bytes written, 0 if the bits make no sense.

    Args:
        stuffed: what follows the scan's header, uint8 [N].
        plain: zeros, uint8 [N + _MCU_BYTES_MAX], written; the caller's, so that it lives as long as its address is used.
        tables: of the file.
        blocks: of an MCU, see `_layout`.
        mcus: of the image.
        out: uint8 [2 * N + 32 * mcus + 64] at least: 12 bytes more an MCU, a marker, and all bytes stuffed.
    """
    bits = plain.ctypes.data
    end = 8 * _unstuff(stuffed, plain)
    predictions = np.zeros(3, np.int64)
    at, size = 0, 0
    for mcu in range(mcus):
        waiting, held, held_bits = at, np.uint64(0), 0
        seen = -1
        for block in range(len(blocks)):
            component, dc = blocks[block, 0], blocks[block, 1]
            word = _word(bits, at)
            entry = tables.quick[dc, word >> _QUICK_SHIFT] or _find_long(word, dc, tables)
            category = entry & 255
            if entry == 0 or category > _CATEGORY_MAX:
                return 0
            predictions[component] += _signed(word << np.uint64(entry >> 8), category)
            after = at + (entry >> 8) + category
            if component != seen:  # the component's first block of the MCU
                seen = component
                size, held, held_bits = _copy(bits, waiting, at, out, size, held, held_bits)
                code, length = _dc_code(predictions[component], dc, tables)
                if length == 0:
                    return 0
                size, held, held_bits = _put(code, length, out, size, held, held_bits)
                waiting = after
            at = _skip_ac(bits, after, blocks[block, 2], tables)
            if at < 0:
                return 0
        if at > end:
            return 0
        size, held, held_bits = _copy(bits, waiting, at, out, size, held, held_bits)
        padding = -held_bits % 8
        size, held, held_bits = _put(np.uint64((1 << padding) - 1), padding, out, size, held, held_bits)
        size = _flush(out, size, held, held_bits)
        out[size], out[size + 1] = 0xFF, 0xD9 if mcu == mcus - 1 else 0xD0 + (mcu & 7)
        size += 2
    return size


@compiled
def _dc_code(value: int, table: int, tables: _HuffmanTables) -> tuple:
    """A DC value's code with its magnitude bits, and how many bits that is; 0 bits if it has no code."""
    category = 0
    while abs(value) >> category:
        category += 1
    length = tables.lengths[table, category]
    if category > _CATEGORY_MAX or length == 0:
        return np.uint64(0), 0
    magnitude = value if value >= 0 else value + (1 << category) - 1
    return np.uint64((tables.codes[table, category] << category) | magnitude), length + category


@compiled
def _skip_ac(bits: int, at: int, table: int, tables: _HuffmanTables) -> int:
    """The bit after a block's AC codes, which begin at bit `at`; -1 if they make no sense."""
    quick = tables.quick[table]
    word, used, place = _word(bits, at), 0, 1
    while place < _BLOCK:
        if used > _USED_MAX:
            at += used
            word, used = _word(bits, at), 0
        entry = quick[word >> _QUICK_SHIFT]
        if entry == 0:
            entry = _find_long(word, table, tables)
            if entry == 0:
                return -1
        symbol = entry & 255
        taken = (entry >> 8) + (symbol & 15)
        word <<= np.uint64(taken)
        used += taken
        if symbol == 0:
            break
        place += (symbol >> 4) + 1
    return at + used if place <= _BLOCK else -1


@compiled
def _unstuff(stuffed: np.ndarray, plain: np.ndarray) -> int:
    """Drop the zero after each 0xFF, up to the first marker; returns the bytes written."""
    size, at = 0, 0
    while at < len(stuffed):
        byte = stuffed[at]
        if byte == 0xFF:
            at += 1
            if at == len(stuffed) or stuffed[at] != 0:
                break
        plain[size] = byte
        size += 1
        at += 1
    return size


@compiled
def _word(bits: int, at: int) -> Any:
    """What follows bit `at` of the bytes at the address `bits`: 57 bits at least, from the highest on."""
    return load_big_endian(np.uintp(bits + (at >> 3))) << np.uint64(at & 7)


@compiled
def _signed(word: np.uint64, category: int) -> Any:
    """The value of `category` magnitude bits at the head of a word (T.81, F.2.2.1, EXTEND)."""
    if category == 0:
        return 0
    value = np.int64(word >> np.uint64(64 - category))
    return value if value >> (category - 1) else value - (1 << category) + 1


@compiled
def _find_long(word: np.uint64, table: int, tables: _HuffmanTables) -> Any:
    """A code of more than `_QUICK_BITS` bits at the head of a word, as length << 8 | symbol; 0 if there is none."""
    for length in range(_QUICK_BITS + 1, 17):
        if np.int64(word >> np.uint64(48)) < tables.ends[table, length]:
            place = np.int64(word >> np.uint64(64 - length)) + tables.places[table, length]
            return (length << 8) | tables.symbols[table, place] if 0 <= place < 256 else 0
    return 0


@compiled
def _copy(bits: int, begin: int, end: int, out: np.ndarray, size: int, held: np.uint64, held_bits: int) -> tuple:
    """Append the bits [begin, end); returns what `_put` does."""
    for at in range(begin, end - 31, 32):
        size, held, held_bits = _put(_word(bits, at) >> np.uint64(32), 32, out, size, held, held_bits)
    rest = (end - begin) & 31
    if rest:
        size, held, held_bits = _put(_word(bits, end - rest) >> np.uint64(64 - rest), rest, out, size, held, held_bits)
    return size, held, held_bits


@compiled
def _put(value: np.uint64, bits: int, out: np.ndarray, size: int, held: np.uint64, held_bits: int) -> tuple:
    """Append at most 32 bits; returns the bytes written so far, and the bits that wait for a full word, and how many."""
    held = (held << np.uint64(bits)) | value
    held_bits += bits
    if held_bits >= 32:
        held_bits -= 32
        size = _flush(out, size, held >> np.uint64(held_bits), 32)
        held &= (np.uint64(1) << np.uint64(held_bits)) - np.uint64(1)
    return size, held, held_bits


@compiled
def _flush(out: np.ndarray, size: int, held: np.uint64, bits: int) -> int:
    """Write whole bytes, with a zero after each 0xFF (T.81, F.1.2.3)."""
    for shift in range(bits - 8, -1, -8):
        byte = (held >> np.uint64(shift)) & np.uint64(255)
        out[size] = byte
        size += 1
        if byte == 0xFF:
            out[size] = 0
            size += 1
    return size
