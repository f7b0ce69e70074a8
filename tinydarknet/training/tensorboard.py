"""Scalars as TensorBoard reads them; MindSpore's own summaries show there with value 0.

An event file is a sequence of TFRecords (length, its checksum, data, its checksum), each with one Event message.
Fields used, by number (tensorflow/core/util/event.proto and framework/summary.proto):
Event: 1 wall_time double, 2 step int64, 3 file_version string, 5 summary; Summary: 1 value;
Value: 1 tag string, 2 simple_value float.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import TracebackType

FILE_VERSION = b"brain.Event:2"

_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5
_CRC32C_POLYNOMIAL = 0x82F63B78
_MASK_DELTA = 0xA282EAD8


class EventWriter:
    """Appends scalars to an event file of its own."""

    def __init__(self, path: Path, wall_time_s: float) -> None:
        """Start a new file; its name must contain "tfevents" for TensorBoard to find it."""
        self._stream = path.open("xb")
        self._write(_key(1, _DOUBLE) + struct.pack("<d", wall_time_s) + _message(3, FILE_VERSION))

    def scalars(self, step: int, wall_time_s: float, values: Mapping[str, float]) -> None:
        """Write one value for each tag; on its way to the disk when this returns."""
        summary = b"".join(
            _message(1, _message(1, tag.encode()) + _key(2, _FLOAT) + struct.pack("<f", value))
            for tag, value in values.items()
        )
        time_field = _key(1, _DOUBLE) + struct.pack("<d", wall_time_s)
        self._write(time_field + _key(2, _VARINT) + _varint(step) + _message(5, summary))
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, data: bytes) -> None:
        length = struct.pack("<Q", len(data))
        self._stream.write(length + masked_crc32c(length) + data + masked_crc32c(data))


def masked_crc32c(data: bytes) -> bytes:
    """TFRecord's checksum: CRC-32C (RFC 3720), turned right by 15 bits, plus a constant; 4 bytes, little-endian."""
    crc, table = 0xFFFFFFFF, _crc_table()
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF)


@lru_cache(maxsize=1)
def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (_CRC32C_POLYNOMIAL if byte & 1 else 0)  # noqa: PLW2901
        table.append(byte)
    return tuple(table)


def _key(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _message(field: int, data: bytes) -> bytes:
    return _key(field, _BYTES) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
