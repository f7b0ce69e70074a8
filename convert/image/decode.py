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
GREY_MODES = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's modes without colour."""

_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, MemoryError, struct.error)
"""What Pillow raises over damaged files: its own exceptions, and what its parsers let through."""
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_FAR_LARGER = 4
_BITS_TAG, _PHOTOMETRIC_TAG, _SAMPLE_FORMAT_TAG = 258, 262, 339
"""Of TIFF 6.0."""
_HARMLESS = ("Unknown Adobe color transform", "unknown JFIF revision", "bad ICC marker", "Invalid SOS parameters")
"""Warnings of libjpeg (jerror.h) after which every pixel is there all the same."""
_SURPLUS = "extraneous bytes before marker"
_SURPLUS_AT_END = f"{_SURPLUS} 0xd9"


def decode_bgr(data: bytes, short_side: int) -> tuple[np.ndarray, tuple[int, int], str]:
    """Decode upright to uint8 [h, w] or [h, w, 3] BGR, perhaps smaller than the file's full size, which is returned too."""
    import cv2

    header = jpeg_header.scan(data) if data[:2] == jpeg_header.SOI else None
    warning = ""
    if header is not None and header.decodes_as_ycc:
        refuse_broken(header)
        try:
            pixels = _turbo(data, header, short_side)
        except ValueError as error:
            warning = f"libjpeg: {_plain(error)}"
            refuse_lost(data, warning)
        else:
            turned = np.ascontiguousarray(upright(pixels, header.orientation))
            size = (header.height, header.width) if header.orientation < 5 else (header.width, header.height)
            return turned, size, header.unusual
    image, orientation, reason = open_image(data)
    if header is not None and not header.decodes_as_ycc:
        warning = libjpeg_warning(data)
        refuse_lost(data, warning)
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
        # Pillow itself turns a TIFF as it loads it
        orientation = 1 if image.format == "TIFF" else image.getexif().get(0x0112, 1)
    except (*_DAMAGE, Image.DecompressionBombError) as error:
        raise BadImageError(_plain(error)) from error
    return image, orientation if orientation in range(1, 9) else 1, f"{image.format} file"


def refuse_broken(header: jpeg_header.JpegHeader) -> None:
    """Raise BadImageError for a JPEG that is too large, or has lost its end or whole scans."""
    _refuse_giant(header.width, header.height)
    if not header.ends:
        raise BadImageError("truncated, it has no end-of-image marker")
    if header.lacks:
        raise BadImageError(f"truncated or damaged, it has no {header.lacks}")


def refuse_lost(data: bytes, warning: str) -> None:
    """Raise BadImageError for a JPEG over which libjpeg's `warning` tells that pixels are lost; "" tells nothing.

    libjpeg tells its first warning only. Where that is about surplus bytes, which harm nothing, the file is looked at again
    without those between its segments; what remains must lie behind the pixels.
    """
    if _SURPLUS in warning:
        if 4 <= data.count(b"\n") == data.count(b"\r\n"):
            raise BadImageError("its line ends were converted, as by a transfer in text mode")
        warning = libjpeg_warning(jpeg_header.without_surplus(data))
        warning = "" if _SURPLUS_AT_END in warning else warning
    if warning and not any(text in warning for text in _HARMLESS):
        raise BadImageError(warning)


def _refuse_giant(width: int, height: int) -> None:
    if width * height > PIXELS_MAX:
        raise BadImageError(f"{width}x{height} pixels, more than the {PIXELS_MAX:,} that are decoded")


def to_array(image: Image, mode: str) -> np.ndarray:
    """Decode to uint8 [H, W] (mode L) or [H, W, 3] (RGB)."""
    import PIL.Image

    try:
        image.load()
        if image.format == "TIFF":
            _refuse_signed(image)
        if image.mode in GREY_MODES[2:]:
            image = PIL.Image.fromarray(_grey_of_8_bits(image))
        if image.mode == "P":  # straight to RGB, transparency would make Pillow warn
            image = image.convert("RGBA")
        return np.asarray(image if image.mode == mode else image.convert(mode))
    except _DAMAGE as error:
        raise BadImageError(_plain(error)) from error


def _tag(image: Image, number: int) -> object:
    value = getattr(image, "tag_v2", {}).get(number)
    return value[0] if isinstance(value, tuple) else value


def _refuse_signed(image: Image) -> None:
    if _tag(image, _SAMPLE_FORMAT_TAG) == 2:
        raise BadImageError("samples with a sign, whose black and white nothing tells")


def _grey_of_8_bits(image: Image) -> np.ndarray:
    """Samples of more than 8 bits as uint8 [H, W]: whole numbers by their upper 8 bits, floats from 0 to 1."""
    samples, bits = np.asarray(image), _tag(image, _BITS_TAG)
    if image.mode == "F":
        if not (samples.min() >= 0 and samples.max() <= 1):  # also where one is no number
            raise BadImageError("floating-point samples beyond 0 to 1, whose white nothing tells")
        grey = (samples * 255 + 0.5).astype(np.uint8)
    else:
        size = bits if isinstance(bits, int) else 32 if image.mode == "I" else 16
        grey = (samples.view(f"u{samples.itemsize}") >> (size - 8)).astype(np.uint8)
    return ~grey if _tag(image, _PHOTOMETRIC_TAG) == 0 else grey  # Pillow inverts up to 8 bits only


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
        space = "CMYK" if jpeg_header.scan(data).components == 4 else "GRAY"
    except BadImageError:  # libjpeg says it better
        space = "GRAY"
    try:
        simplejpeg.decode_jpeg(data, space, min_height=1, min_width=1)
    except ValueError as error:
        return f"libjpeg: {_plain(error)}"
    return ""
