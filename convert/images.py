"""One image: checked, made safe, and encoded the way a dataset stores it.

What comes out right, and how (each held by a test):

    grey                    1 component stays grey; its chroma planes hold 128
    CMYK, YCCK              inverted as Adobe writes it, with or without Adobe's marker (as Pillow and OpenCV do)
    PNG, WebP, GIF, BMP     whatever the file is called; the first frame, alpha dropped, 16 bits cut to the upper 8
    EXIF orientation 2..8   applied here, so that every later decoder agrees
    progressive             decoded like any other
    arithmetic, 12 bits     refused unless the installed libjpeg can decode them
    cut or damaged files    refused
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from convert import jpeg, planes
from convert.errors import BadImageError
from convert.manifest import Encoding

if TYPE_CHECKING:
    from PIL.Image import Image

PIXELS_MAX = 89_478_485
"""Pillow's own limit against decompression bombs: a quarter of a gigabyte at 3 bytes a pixel."""
ORIGINAL_QUALITY = 95
"""JPEG quality (libjpeg's scale) when an `original` has to be re-encoded; chroma is then kept at full size."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")

Check = Literal["decode", "scan"]


@dataclass(frozen=True)
class Payload:
    """What is stored for one image."""

    data: bytes
    height: int
    """Of the stored image, pixels; even for yuv420."""
    width: int
    action: str
    """kept (source bytes), re-encoded (as JPEG) or encoded (as planes)."""
    reason: str
    """What was unusual about the source, "" when nothing was."""


def encode(data: bytes, encoding: Encoding, check: Check = "decode") -> Payload:
    """Turn a source file into what the dataset stores.

    Args:
        data: the source file.
        encoding: how to store it.
        check: for `original`: decode every image, or only scan its markers.

    Raises:
        BadImageError: it cannot be decoded whole, or is too large.
    """
    if encoding.name == "yuv420":
        return _encode_planes(data, encoding)
    if encoding.name == "jpeg":
        return _encode_resized(data, encoding)
    return _keep_or_reencode(data, encoding, check)


def decode_rgb(data: bytes) -> np.ndarray:
    """Decode any supported image file to uint8 [H, W, 3] RGB, upright (EXIF orientation applied).

    Raises:
        BadImageError: it cannot be decoded whole, or is too large.
    """
    image, orientation, _ = _open(data)
    return np.ascontiguousarray(_upright(_to_array(image, "RGB"), orientation))


def _encode_planes(data: bytes, encoding: Encoding) -> Payload:
    image, orientation, reason = _open(data)
    if image.format in ("JPEG", "MPO") and image.mode == "RGB":
        if encoding.short_side:
            # libjpeg scales while decoding (by 2, 4 or 8) as long as the result is still twice the target
            scale = 2 * encoding.short_side / min(image.size)
            scale = min(1.0, scale)
            image.draft("YCbCr", (int(image.width * scale), int(image.height * scale)))
        else:
            image.draft("YCbCr", image.size)
    pixels = _to_array(image, "L" if image.mode in ("L", "1", "I;16") else "YCbCr")
    pixels = np.ascontiguousarray(_upright(pixels, orientation))
    make = planes.from_grey if pixels.ndim == 2 else planes.from_ycc
    stored, height, width = make(pixels, encoding.short_side)
    return Payload(stored.tobytes(), height, width, "encoded", reason)


def _encode_resized(data: bytes, encoding: Encoding) -> Payload:
    import cv2

    image, orientation, reason = _open(data)
    pixels = _upright(_to_array(image, "L" if image.mode in ("L", "1", "I;16") else "RGB"), orientation)
    height, width = pixels.shape[:2]
    scale = min(1.0, encoding.short_side / min(height, width)) if encoding.short_side else 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if scale < 1:
        pixels = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
    return _as_jpeg(pixels, encoding.quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, reason)


def _keep_or_reencode(data: bytes, encoding: Encoding, check: Check) -> Payload:
    import cv2

    header = jpeg.scan(data) if data[:2] == jpeg.SOI else None
    if header is not None:
        _refuse_broken(header)
    if header is not None and not header.unusual:
        if check == "decode":
            _to_array(_open(data)[0], "L")
        return Payload(data, header.height, header.width, "kept", "")
    image, orientation, reason = _open(data)
    pixels = _upright(_to_array(image, "L" if image.mode in ("L", "1", "I;16") else "RGB"), orientation)
    return _as_jpeg(pixels, encoding.quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, reason)


def _as_jpeg(pixels: np.ndarray, quality: int, sampling: int, reason: str) -> Payload:
    import cv2

    if max(pixels.shape[:2]) > 65_500:
        raise BadImageError(f"{pixels.shape[1]}x{pixels.shape[0]} pixels, more than a JPEG can have on one side")
    colours = (
        cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
        if pixels.ndim == 3
        else np.ascontiguousarray(pixels)
    )
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    ok, encoded = cv2.imencode(".jpg", colours, options)
    if not ok:
        raise BadImageError("OpenCV could not encode it as JPEG")
    return Payload(encoded.tobytes(), pixels.shape[0], pixels.shape[1], "re-encoded", reason)


def _open(data: bytes) -> tuple[Image, int, str]:
    """Open without decoding: the image, its EXIF orientation, and what is unusual about it."""
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise BadImageError("the file is empty")
    header = jpeg.scan(data) if data[:2] == jpeg.SOI else None
    if header is not None:
        _refuse_broken(header)
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        _refuse_giant(*image.size)
        if header is not None:
            return image, header.orientation, header.unusual
        orientation = image.getexif().get(0x0112, 1)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadImageError(_plain(error)) from error
    return image, orientation if orientation in range(1, 9) else 1, f"{image.format} file"


def _refuse_broken(header: jpeg.JpegHeader) -> None:
    _refuse_giant(header.width, header.height)
    if not header.ends:
        raise BadImageError("truncated, it has no end-of-image marker")


def _refuse_giant(width: int, height: int) -> None:
    if width * height > PIXELS_MAX:
        raise BadImageError(f"{width}x{height} pixels, more than the {PIXELS_MAX:,} that are decoded")


def _to_array(image: Image, mode: str) -> np.ndarray:
    """Decode to uint8 [H, W] (mode L) or [H, W, 3] (RGB, YCbCr)."""
    import PIL.Image

    try:
        if image.mode.startswith("I;16") or image.mode == "I":
            image = PIL.Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        if image.mode == "P" and mode == "YCbCr":
            image = image.convert("RGB")
        return np.asarray(image if image.mode == mode else image.convert("RGB").convert(mode))
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise BadImageError(_plain(error)) from error


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation (Exif 2.32, section 4.6.4): 5 to 8 swap the axes first."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    flip_rows = orientation in (3, 4, 7, 8)
    flip_columns = orientation in (2, 3, 6, 7)
    return pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def _plain(error: Exception) -> str:
    """An exception's text without addresses of objects, so that reports do not differ from run to run."""
    text = str(error).split(" <")[0].strip()
    return (
        "not an image of a kind that can be read"
        if text.startswith("cannot identify")
        else text or type(error).__name__
    )
