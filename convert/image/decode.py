"""Files to pixels: libjpeg-turbo for JPEGs, Pillow for whatever else calls itself one."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import numpy as np

from convert.errors import BadImageError
from convert.image import buffers, jpeg_header

if TYPE_CHECKING:
    from PIL.Image import Image

PIXELS_MAX = 89_478_485
"""Pillow's own limit against decompression bombs: a quarter of a gigabyte at 3 bytes a pixel."""
GREY_MODES = ("1", "L", "I", "I;16", "I;16B", "I;16L")
"""Pillow's modes without colour."""

_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, MemoryError, struct.error)
"""What Pillow raises over damaged files: its own exceptions, and what its parsers let through."""
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_FAR_LARGER = 4


def decode_bgr(data: bytes, short_side: int) -> tuple[np.ndarray, tuple[int, int], str]:
    """Decode upright to uint8 [h, w] or [h, w, 3] BGR, perhaps smaller than the file's full size, which is returned too."""
    import cv2

    header = jpeg_header.scan(data) if data[:2] == jpeg_header.SOI else None
    warning = ""
    if header is not None and header.decodes_as_ycc:
        refuse_broken(header)
        try:
            pixels = _turbo(data, header, short_side)
        except ValueError as error:  # libjpeg has warned; Pillow decides whether the image is whole
            warning = f"libjpeg: {_plain(error)}"
        else:
            turned = np.ascontiguousarray(upright(pixels, header.orientation))
            size = (header.height, header.width) if header.orientation < 5 else (header.width, header.height)
            return turned, size, header.unusual
    image, orientation, reason = open_image(data)
    pixels = upright(to_array(image, "L" if image.mode in GREY_MODES else "RGB"), orientation)
    colours = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return np.ascontiguousarray(colours), (pixels.shape[0], pixels.shape[1]), reason or warning


def _turbo(data: bytes, header: jpeg_header.JpegHeader, short_side: int) -> np.ndarray:
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
        buffer=buffers.array("decoded", (header.height * header.width * channels,)),
    )
    return pixels[..., 0] if channels == 1 else pixels


def open_image(data: bytes) -> tuple[Image, int, str]:
    """Open without decoding: the image, its EXIF orientation, and what is unusual about it."""
    from PIL import Image

    header = jpeg_header.scan(data) if data[:2] == jpeg_header.SOI else None
    if header is not None:
        refuse_broken(header)
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        _refuse_giant(*image.size)
        if header is not None:
            return image, header.orientation, header.unusual
        orientation = image.getexif().get(0x0112, 1)
    except (*_DAMAGE, Image.DecompressionBombError) as error:
        raise BadImageError(_plain(error)) from error
    return image, orientation if orientation in range(1, 9) else 1, f"{image.format} file"


def refuse_broken(header: jpeg_header.JpegHeader) -> None:
    """Raise BadImageError for a JPEG that is too large, or has lost its end."""
    _refuse_giant(header.width, header.height)
    if not header.ends:
        raise BadImageError("truncated, it has no end-of-image marker")


def _refuse_giant(width: int, height: int) -> None:
    if width * height > PIXELS_MAX:
        raise BadImageError(f"{width}x{height} pixels, more than the {PIXELS_MAX:,} that are decoded")


def to_array(image: Image, mode: str) -> np.ndarray:
    """Decode to uint8 [H, W] (mode L) or [H, W, 3] (RGB)."""
    import PIL.Image

    try:
        if image.mode.startswith("I;16") or image.mode == "I":
            image = PIL.Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        return np.asarray(image if image.mode == mode else image.convert(mode))
    except _DAMAGE as error:
        raise BadImageError(_plain(error)) from error


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
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


def libjpeg_warning(data: bytes) -> str:
    """What libjpeg-turbo has to say against a JPEG, "" if nothing.

    All of the scan is read, but of its pixels only an eighth of luma's width and height is made.
    """
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1)
    except ValueError as error:
        return f"libjpeg: {_plain(error)}"
    return ""
