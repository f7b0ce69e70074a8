"""Odd image files, made from one picture, and where each must land."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image

from convert.sample import picture

HEIGHT, WIDTH = 120, 162


@lru_cache(maxsize=1)
def pixels() -> np.ndarray:
    """uint8 [HEIGHT, WIDTH, 3] RGB, with no symmetry that could hide a flip."""
    image = picture(3, HEIGHT, WIDTH, np.random.default_rng(5))
    image[:30, :40] = (200, 30, 30)
    image[-20:, -60:] = (20, 60, 210)
    return cv2.GaussianBlur(image, (5, 5), 0)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def jpeg(mode: str = "RGB", **options) -> bytes:
    return saved(Image.fromarray(pixels()).convert(mode), "JPEG", **{"quality": 95, "subsampling": 0, **options})


def rotated(orientation: int) -> bytes:
    """A JPEG that is upright only after its EXIF orientation is applied."""
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(Image.fromarray(pixels()).transpose(turn), "JPEG", quality=95, subsampling=0, exif=exif)


def with_long_orientation(data: bytes) -> bytes:
    """The same with its EXIF orientation stored in four bytes instead of two."""
    short = struct.pack(">HHI", 0x0112, 3, 1)
    position = data.index(short)
    value = struct.unpack_from(">H", data, position + 8)[0]
    return data[:position] + struct.pack(">HHII", 0x0112, 4, 1, value) + data[position + 12 :]


def without_adobe_marker(data: bytes) -> bytes:
    position = data.index(b"\xff\xee")
    length = struct.unpack_from(">H", data, position + 2)[0]
    return data[:position] + data[position + 2 + length :]


def cut_before_scan(data: bytes) -> bytes:
    """Everything up to the end of the start-of-scan header: the file that kills MindSpore with SIGFPE."""
    position = data.index(b"\xff\xda")
    return data[: position + 2 + struct.unpack_from(">H", data, position + 2)[0]]


def cut_between_frame_and_scan(data: bytes) -> bytes:
    position = data.index(b"\xff\xc0")
    return data[: position + 2 + struct.unpack_from(">H", data, position + 2)[0] + 7]


def with_process(data: bytes, marker: int) -> bytes:
    """The same bytes under another start-of-frame marker (0xC9: arithmetic, 0xC3: lossless)."""
    return data.replace(b"\xff\xc0", bytes([0xFF, marker]), 1)


def with_precision(data: bytes, bits: int) -> bytes:
    position = data.index(b"\xff\xc0")
    return data[: position + 4] + bytes([bits]) + data[position + 5 :]


def with_size(data: bytes, height: int, width: int) -> bytes:
    """A lying frame header."""
    position = data.index(b"\xff\xc0")
    return data[: position + 5] + struct.pack(">HH", height, width) + data[position + 9 :]


def png_with_exif(body: bytes) -> bytes:
    """A PNG whose eXIf chunk holds `body`."""
    data = saved(Image.fromarray(pixels()), "PNG")
    chunk = b"eXIf" + body
    position = data.index(b"IDAT") - 4
    return (
        data[:position] + struct.pack(">I", len(body)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[position:]
    )


GOOD: dict[str, tuple[Callable[[], bytes], str]] = {
    "plain": (jpeg, ""),
    "subsampled": (lambda: jpeg(subsampling=2), ""),
    "grey": (lambda: jpeg("L"), ""),
    "progressive": (lambda: jpeg(progressive=True), "progressive"),
    "cmyk": (lambda: jpeg("CMYK"), "CMYK"),
    "cmyk without marker": (lambda: without_adobe_marker(jpeg("CMYK")), "CMYK"),
    "png": (lambda: saved(Image.fromarray(pixels()), "PNG"), "PNG file"),
    "png with alpha": (lambda: saved(Image.fromarray(pixels()).convert("RGBA"), "PNG"), "PNG file"),
    "png with palette": (lambda: saved(Image.fromarray(pixels()).quantize(200), "PNG"), "PNG file"),
    "png of 16 bits": (
        lambda: saved(Image.fromarray(cv2.cvtColor(pixels(), cv2.COLOR_RGB2GRAY).astype(np.uint16) * 257), "PNG"),
        "PNG file",
    ),
    "webp": (lambda: saved(Image.fromarray(pixels()), "WEBP", lossless=True), "WEBP file"),
    "gif": (lambda: saved(Image.fromarray(pixels()).quantize(250), "GIF"), "GIF file"),
    "tiff": (lambda: saved(Image.fromarray(pixels()), "TIFF"), "TIFF file"),
    "bmp": (lambda: saved(Image.fromarray(pixels()), "BMP"), "BMP file"),
    "exif 2": (lambda: rotated(2), "EXIF orientation 2"),
    "exif 3": (lambda: rotated(3), "EXIF orientation 3"),
    "exif 4": (lambda: rotated(4), "EXIF orientation 4"),
    "exif 5": (lambda: rotated(5), "EXIF orientation 5"),
    "exif 6": (lambda: rotated(6), "EXIF orientation 6"),
    "exif 6 in four bytes": (lambda: with_long_orientation(rotated(6)), "EXIF orientation 6"),
    "exif 7": (lambda: rotated(7), "EXIF orientation 7"),
    "exif 8": (lambda: rotated(8), "EXIF orientation 8"),
}
"""Files that convert to the picture, and the reason recorded when they are re-encoded."""

BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "empty"),
    "text": (lambda: b"I am no image", "not an image"),
    "cut before the scan": (lambda: cut_before_scan(jpeg()), "before its pixels begin"),
    "cut between frame and scan": (lambda: cut_between_frame_and_scan(jpeg()), "truncated|before its pixels"),
    "cut in the header": (lambda: jpeg()[:100], "truncated|before its pixels"),
    "cut in the scan": (lambda: jpeg()[: len(jpeg()) // 2], "truncated|premature"),
    "cut by two bytes": (lambda: jpeg()[:-2], "truncated"),
    "cut progressive": (lambda: jpeg(progressive=True)[: len(jpeg(progressive=True)) // 2], "truncated|premature"),
    "cut png": (lambda: saved(Image.fromarray(pixels()), "PNG")[:3000], ""),
    "png with a short exif chunk": (lambda: png_with_exif(b"II*\0"), ""),
    "12 bits": (lambda: with_precision(jpeg(), 12), ""),
    "lossless": (lambda: with_process(jpeg(), 0xC3), ""),
    "gigapixels": (lambda: with_size(jpeg(), 50_000, 60_000), "60000x50000 pixels"),
    "no pixels": (lambda: with_size(jpeg(), 0, 60), "60x0 pixels"),
}
"""Files that must not get into a dataset, and a word of the reason."""
