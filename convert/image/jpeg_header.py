"""What a JPEG file says about itself, read from its markers without decoding a pixel.

Markers and their layout: ITU-T T.81, annex B. Nothing here trusts a length field beyond the data.
"""

from __future__ import annotations

import re
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from convert.errors import BadImageError

SOI = b"\xff\xd8"
_EOI = b"\xff\xd9"
_DHT, _DQT, _SOS = 0xC4, 0xDB, 0xDA
_EXIF = b"Exif\x00"
_XMP = b"http://ns.adobe.com/xap/1.0/\x00"
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=[\"']|>)\s*([1-8])\s*[\"'<]")
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # DHT, JPG and DAC share the range
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # TEM and RSTn carry no length
_EXIF_ORIENTATION_TAG = 0x0112
_EXIF_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
"""SHORT, as the standard has it, LONG, which Pillow applies and OpenCV does for one byte order only, and other whole numbers."""
_MARKER_IN_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


@dataclass(frozen=True)
class JpegHeader:
    """The facts that decide how a JPEG is handled."""

    height: int
    width: int
    components: int
    precision: int
    """Bits per sample."""
    process: int
    """The SOF marker's number: 0 baseline, 1 extended, 2 progressive, 3 lossless, 9 and up arithmetic."""
    orientation: int
    """EXIF orientation, 1 to 8; 1 when there is none."""
    adobe_transform: int | None
    """0 RGB or CMYK, 1 YCbCr, 2 YCCK; None without an Adobe marker."""
    component_ids: bytes
    has_jfif: bool
    ends: bool
    """Whether an end-of-image marker follows the pixels; whatever comes after it is ignored by decoders."""
    lacks: str
    """What of its tables and scans is missing, in words; "" if nothing: libjpeg shows what is left without a word."""

    @property
    def is_ycc(self) -> bool:
        """Whether the three components are Y, Cb and Cr (libjpeg's rule, jdapimin.c default_decompress_parms)."""
        if self.components != 3:
            return False
        if self.has_jfif:
            return True
        if self.adobe_transform is not None:
            return self.adobe_transform == 1
        return self.component_ids != b"RGB"

    @property
    def decodes_as_ycc(self) -> bool:
        """Whether any libjpeg decodes it to grey or YCbCr: Huffman coded, 8 bits, 1 component or Y, Cb and Cr."""
        return self.process <= 2 and self.precision == 8 and (self.components == 1 or self.is_ycc)

    @property
    def unusual(self) -> str:
        """Why a decoder somewhere may refuse or misread the file; "" for the plain kind that all of them take."""
        if self.process not in (0, 1):
            return {2: "progressive", 3: "lossless"}.get(
                self.process, "arithmetic" if self.process >= 9 else "hierarchical"
            )
        if self.precision != 8:
            return f"{self.precision} bits per sample"
        if self.components == 4:
            return "CMYK"
        if self.components not in (1, 3):
            return f"{self.components} components"
        if self.components == 3 and not self.is_ycc:
            return "RGB components"
        if self.orientation != 1:
            return f"EXIF orientation {self.orientation}"
        return ""


def scan(data: bytes) -> JpegHeader:
    """Walk the markers up to the first scan.

    Raises:
        BadImageError: no JPEG, damaged markers, or the file ends before its pixels begin (such a file kills a
            MindSpore process with SIGFPE).
    """
    if data[:2] != SOI:
        raise BadImageError("not a JPEG")
    position, frame, orientation, adobe, jfif, xmp, first_scan = 0, None, 0, None, False, 0, b""
    bodies: defaultdict[int, bytes] = defaultdict(bytes)
    for marker, body, position in segments(data):  # noqa: B007, the last position is where the pixels begin
        bodies[marker] += body
        if marker in _SOF:
            frame = (marker - 0xC0, body)
        elif marker == 0xE0 and body.startswith(b"JFIF\x00"):
            jfif = True
        elif marker == 0xE1 and body.startswith(_EXIF):
            # of several blocks the first, as ExifTool and ImageMagick have it
            orientation = orientation or _exif_orientation(body[len(_EXIF) + 1 :])
        elif marker == 0xE1 and body.startswith(_XMP) and (match := _XMP_ORIENTATION.search(body)):
            xmp = xmp or int(match[1])
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11]
        elif marker == _SOS:
            first_scan = body
    if frame is None:
        raise BadImageError("a scan without a frame header")
    process, body = frame
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise BadImageError("damaged frame header")
    precision, height, width, components = struct.unpack_from(">BHHB", body)
    if height == 0 or width == 0 or components == 0:
        raise BadImageError(f"its header says {width}x{height} pixels and {components} components")
    if position >= len(data):
        raise BadImageError("ends before its pixels begin")
    specs = [body[6 + 3 * index : 9 + 3 * index] for index in range(components)]
    return JpegHeader(
        height=height,
        width=width,
        components=components,
        precision=precision,
        process=process,
        orientation=orientation or xmp or 1,
        adobe_transform=adobe,
        component_ids=bytes(spec[0] for spec in specs),
        has_jfif=jfif,
        ends=data.rfind(_EOI, position) >= 0,
        lacks=_missing_tables(bodies[_DHT], bodies[_DQT], first_scan if process < 2 else b"")
        or _missing_scans(data, position, first_scan, process, specs),
    )


@lru_cache(maxsize=256)  # most files share their tables
def _missing_tables(codes: bytes, quantisers: bytes, scan: bytes) -> str:
    """What the bodies of DHT and DQT (T.81, B.2.4) leave undefined; libjpeg puts the standard's codes in the place of lost ones.

    Args:
        codes: Huffman tables.
        quantisers: quantisation tables, in which nothing may be 0.
        scan: header of a sequential Huffman-coded scan; b"" for others, whose tables may come later.
    """
    defined = set()
    while codes:
        defined.add(codes[0])
        codes = codes[17 + sum(codes[1:17]) :]
    used = scan[2 : 1 + 2 * scan[0] : 2] if scan else b""
    if any(not {spec >> 4, 16 | spec & 15} <= defined for spec in used):
        return "Huffman table for one of its components"
    while quantisers:
        size = 1 + (64 << (quantisers[0] >> 4 & 1))
        table, quantisers = quantisers[1:size], quantisers[size:]
        if 0 in (table if size == 65 else [high | low for high, low in zip(table[::2], table[1::2], strict=False)]):
            return "whole quantisation table"
    return ""


def _missing_scans(data: bytes, position: int, scan: bytes, process: int, specs: list[bytes]) -> str:
    """What the scans from `position` on leave undone, as T.81, annexes G and B.2.3, count it; "" if nothing.

    A scan names components and, where the process is progressive, which coefficients it brings, down to which bit.
    """
    progressive = process in (2, 6, 10, 14)
    if not progressive and scan[:1] == bytes([len(specs)]):
        return ""
    wanted = {spec[0]: set(range(64) if progressive else (0,)) for spec in specs}
    while scan:
        count = scan[0]
        if len(scan) < 4 + 2 * count:
            return "whole scan header"
        first, last, bits = scan[1 + 2 * count :][:3]
        for component in scan[1 : 1 + 2 * count : 2]:
            if not progressive or bits & 15 == 0:
                wanted.get(component, set()).difference_update(range(first, last + 1) if progressive else (0,))
        position, scan = _next_scan(data, position)
    if any(0 in left for left in wanted.values()):
        return "data for one of its components"
    return "last scans, which bring the details" if any(wanted.values()) else ""


def _next_scan(data: bytes, position: int) -> tuple[int, bytes]:
    """Where the pixels of the next scan begin, and its header; b"" behind the last one."""
    while match := _MARKER_IN_SCAN.search(data, position):
        marker, position = match[0][1], match.end()
        if marker == 0xD9 or position + 2 > len(data):
            break
        if marker in _STANDALONE or marker == 0xD8:
            continue
        end = position + struct.unpack_from(">H", data, position)[0]
        if marker == _SOS:
            return end, data[position + 2 : end]
        position = end
    return position, b""


def without_surplus(data: bytes) -> bytes:
    """The same JPEG without the bytes that decoders skip between the segments before its first scan."""
    kept, position = [SOI], 2
    for marker, body, position in segments(data):  # noqa: B007
        kept.append(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body)
    return b"".join(kept) + data[position:]


def segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Marker number, body and end position of every segment up to the first scan's header."""
    marker, position = 0, 2
    while marker != _SOS:
        marker, position = _next_marker(data, position)
        if marker in _STANDALONE:
            continue
        if position + 2 > len(data):
            raise BadImageError("truncated in its header")
        length = struct.unpack_from(">H", data, position)[0]
        body = data[position + 2 : position + length]
        if length < 2 or len(body) != length - 2:
            raise BadImageError("truncated in its header")
        position += length
        yield marker, body, position


def _next_marker(data: bytes, position: int) -> tuple[int, int]:
    """The next marker's number and the position behind it; like libjpeg, garbage before a marker is skipped."""
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 1 >= len(data):
            raise BadImageError("ends before its pixels begin")
        number = data[position + 1]
        if number == 0xFF:  # fill bytes
            position += 1
        elif number == 0xD9:
            raise BadImageError("ends before its pixels begin")
        elif number == 0:
            position += 2
        else:
            return number, position + 2


def _exif_orientation(tiff: bytes) -> int:
    """Orientation from an EXIF block's first directory (TIFF 6.0, section 2); 0 when absent or damaged."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 0
    start = struct.unpack_from(order + "I", tiff, 4)[0]
    if start + 2 > len(tiff):
        return 0
    entries = struct.unpack_from(order + "H", tiff, start)[0]
    for entry in range(start + 2, min(start + 2 + 12 * entries, len(tiff) - 11), 12):
        tag, kind, count = struct.unpack_from(order + "HHI", tiff, entry)
        if tag == _EXIF_ORIENTATION_TAG and kind in _EXIF_NUMBERS and count == 1:
            value = struct.unpack_from(order + _EXIF_NUMBERS[kind], tiff, entry + 8)[0]
            return value if 1 <= value <= 8 else 0
    return 0
