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

from convert import jpeg, planes, scratch
from convert.errors import BadImageError
from convert.manifest import Encoding

if TYPE_CHECKING:
    from PIL.Image import Image

PIXELS_MAX = 89_478_485
"""Pillow's own limit against decompression bombs: a quarter of a gigabyte at 3 bytes a pixel."""
ORIGINAL_QUALITY = 95
"""JPEG quality (libjpeg's scale) when an `original` has to be re-encoded; chroma is then kept at full size."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")

JPEG_SIDE_MAX = 65_500
"""libjpeg's JPEG_MAX_DIMENSION, pixels."""

_GREY_MODES = ("1", "L", "I", "I;16", "I;16B", "I;16L")
_FAR_LARGER = 4

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
    if not data:
        raise BadImageError("the file is empty")
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
    if not data:
        raise BadImageError("the file is empty")
    image, orientation, _ = _open(data)
    return np.ascontiguousarray(_upright(_to_array(image, "RGB"), orientation))


def _encode_planes(data: bytes, encoding: Encoding) -> Payload:
    stored, height, width, reason = _to_planes(data, encoding.short_side)
    return Payload(stored.tobytes(), height, width, "encoded", reason)


def _encode_resized(data: bytes, encoding: Encoding) -> Payload:
    """As JPEG with halved chroma; JPEG's own planes are ours, so nothing is converted twice."""
    import simplejpeg

    stored, height, width, reason = _to_planes(data, encoding.short_side)
    if max(height, width) > JPEG_SIDE_MAX:
        raise BadImageError(f"{width}x{height} pixels, more than a JPEG can have on one side")
    encoded = simplejpeg.encode_jpeg_yuv_planes(*planes.views(stored, height, width), quality=encoding.quality)
    return Payload(encoded, height, width, "re-encoded", reason)


def _to_planes(data: bytes, short_side: int) -> tuple[np.ndarray, int, int, str]:
    """Planes, height, width, and what was unusual about the file."""
    pixels, full_size, reason = _decode_bgr(data, short_side)
    height, width = planes.stored_size(*full_size, short_side)
    make = planes.from_grey if pixels.ndim == 2 else planes.from_bgr
    return make(pixels, height, width), height, width, reason


def _decode_bgr(data: bytes, short_side: int) -> tuple[np.ndarray, tuple[int, int], str]:
    """Decode upright to uint8 [h, w] or [h, w, 3] BGR, perhaps smaller than the file's full size, which is returned too."""
    import cv2

    header = jpeg.scan(data) if data[:2] == jpeg.SOI else None
    warning = ""
    if header is not None and header.decodes_as_ycc:
        _refuse_broken(header)
        try:
            pixels = _turbo(data, header, short_side)
        except ValueError as error:  # libjpeg has warned; Pillow decides whether the image is whole
            warning = f"libjpeg: {_plain(error)}"
        else:
            upright = np.ascontiguousarray(_upright(pixels, header.orientation))
            size = (header.height, header.width) if header.orientation < 5 else (header.width, header.height)
            return upright, size, header.unusual
    image, orientation, reason = _open(data)
    pixels = _upright(_to_array(image, "L" if image.mode in _GREY_MODES else "RGB"), orientation)
    colours = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return np.ascontiguousarray(colours), (pixels.shape[0], pixels.shape[1]), reason or warning


def _turbo(data: bytes, header: jpeg.JpegHeader, short_side: int) -> np.ndarray:
    """Decode by libjpeg-turbo; raises ValueError at its slightest warning.

    Chroma is not smoothed while it is enlarged, because it is reduced again at once. Far larger images are
    decoded at a smaller scale that is still twice the target: at less than that it shows (3.6 grey levels).
    """
    import simplejpeg

    smallest = 0
    if short_side and min(header.height, header.width) >= _FAR_LARGER * short_side:
        smallest = 2 * short_side
    channels = 1 if header.components == 1 else 3
    pixels = simplejpeg.decode_jpeg(
        data,
        "GRAY" if channels == 1 else "BGR",
        fastupsample=True,
        min_height=smallest,
        min_width=smallest,
        buffer=scratch.array("decoded", (header.height * header.width * channels,)),
    )
    return pixels[..., 0] if channels == 1 else pixels


def _keep_or_reencode(data: bytes, encoding: Encoding, check: Check) -> Payload:
    header = jpeg.scan(data) if data[:2] == jpeg.SOI else None
    warning = ""
    if header is not None and not header.unusual:
        _refuse_broken(header)
        warning = libjpeg_warning(data, header) if check == "decode" else ""
        if not warning:
            return Payload(data, header.height, header.width, "kept", "")
    image, orientation, reason = _open(data)
    pixels = _upright(_to_array(image, "L" if image.mode in _GREY_MODES else "RGB"), orientation)
    return _as_jpeg(pixels, encoding.quality, reason or warning)


def libjpeg_warning(data: bytes, header: jpeg.JpegHeader | None = None) -> str:
    """What libjpeg-turbo has to say against a JPEG, "" if nothing.

    All of the scan is read, but only luma is decoded.
    """
    import simplejpeg

    buffer = scratch.array("decoded", (header.height * header.width,)) if header else None
    try:
        simplejpeg.decode_jpeg(data, "GRAY", buffer=buffer)
    except ValueError as error:
        return f"libjpeg: {_plain(error)}"
    return ""


def _as_jpeg(pixels: np.ndarray, quality: int, reason: str) -> Payload:
    import simplejpeg

    height, width = pixels.shape[:2]
    if max(height, width) > JPEG_SIDE_MAX:
        raise BadImageError(f"{width}x{height} pixels, more than a JPEG can have on one side")
    colours = np.ascontiguousarray(pixels.reshape(height, width, -1))
    space = "GRAY" if colours.shape[2] == 1 else "RGB"
    encoded = simplejpeg.encode_jpeg(
        colours, quality=quality, colorspace=space, colorsubsampling=space.replace("RGB", "444").title()
    )
    return Payload(encoded, height, width, "re-encoded", reason)


def _open(data: bytes) -> tuple[Image, int, str]:
    """Open without decoding: the image, its EXIF orientation, and what is unusual about it."""
    from PIL import Image, UnidentifiedImageError

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
    """Decode to uint8 [H, W] (mode L) or [H, W, 3] (RGB)."""
    import PIL.Image

    try:
        if image.mode.startswith("I;16") or image.mode == "I":
            image = PIL.Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        if image.mode == "P" and mode == "YCbCr":
            image = image.convert("RGB")
        return np.asarray(image if image.mode == mode else image.convert(mode))
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
