"""One image: checked, made safe, and encoded the way a dataset stores it.

What comes out right, and how (each held by a test):

    grey                    1 component stays grey; its chroma planes hold 128
    CMYK, YCCK              inverted as Adobe writes it, with or without Adobe's marker (as Pillow and OpenCV do)
    PNG, WebP, GIF, BMP,
    TIFF, AVIF              whatever the file is called; the first frame, alpha dropped
    12, 16, 32 bits, floats cut to the upper 8 bits; floats of 0 to 1; with a sign or beyond 1 refused
    EXIF orientation 2..8   applied here, so that every later decoder agrees; of several blocks the first, then XMP's
    progressive             decoded like any other
    arithmetic, 12 bits     refused unless the installed libjpeg can decode them
    cut or damaged files    refused, also where libjpeg only warns that data, tables or scans are lost; surplus bytes are not
                            damage
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from convert.errors import BadImageError
from convert.image import decode, jpeg_header, planes
from convert.image.encoding import Encoding

JPEG_SIDE_MAX = 65_500
"""libjpeg's JPEG_MAX_DIMENSION, pixels."""


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
    return CODECS[encoding.name].write(data, encoding, check)


def decode_payload(payload: np.ndarray, encoding: Encoding, height: int, width: int) -> np.ndarray:
    """What `encode` stored, uint8 [length], as uint8 [height, width, 3] RGB.

    Raises:
        BadImageError: it cannot be decoded whole, or not to this size.
    """
    pixels = CODECS[encoding.name].read(payload, height, width)
    if pixels.shape != (height, width, 3):
        raise BadImageError(f"it is {pixels.shape[1]}x{pixels.shape[0]} pixels, not {width}x{height}")
    return pixels


def decode_rgb(data: bytes) -> np.ndarray:
    """Decode any supported image file to uint8 [H, W, 3] RGB, upright (EXIF orientation applied).

    Raises:
        BadImageError: it cannot be decoded whole, or is too large.
    """
    if not data:
        raise BadImageError("the file is empty")
    image, orientation, _ = decode.open_image(data)
    if data[:2] == jpeg_header.SOI:
        decode.refuse_lost(data, decode.libjpeg_warning(data))
    return np.ascontiguousarray(decode.upright(decode.to_array(image, "RGB"), orientation))


def _encode_planes(data: bytes, encoding: Encoding, _check: Check) -> Payload:
    pixels, reason = _resized(data, encoding.short_side)
    make = planes.from_grey if pixels.ndim == 2 else planes.from_bgr
    return Payload(make(pixels).tobytes(), pixels.shape[0], pixels.shape[1], "encoded", reason)


def _encode_resized(data: bytes, encoding: Encoding, _check: Check) -> Payload:
    """As JPEG with halved chroma, grey images too: MCUs of 8x8 pixels would need four times as many markers.

    A restart marker after each MCU lets a reader decode a window of it alone.
    """
    import cv2

    pixels, reason = _resized(data, encoding.short_side)
    height, width = pixels.shape[:2]
    _refuse_long(height, width)
    options = {
        cv2.IMWRITE_JPEG_QUALITY: encoding.quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR: cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
        cv2.IMWRITE_JPEG_RST_INTERVAL: 1,
    }
    colours = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR) if pixels.ndim == 2 else pixels
    _, encoded = cv2.imencode(".jpg", colours, [number for option in options.items() for number in option])
    return Payload(encoded.tobytes(), height, width, "re-encoded", reason)


def _resized(data: bytes, short_side: int) -> tuple[np.ndarray, str]:
    """An image at the size in which it is stored, uint8 [H, W] or [H, W, 3] BGR, and what was unusual about the file."""
    pixels, full_size, reason = decode.decode_bgr(data, short_side)
    return planes.resized(pixels, *planes.stored_size(*full_size, short_side)), reason


def _refuse_long(height: int, width: int) -> None:
    if max(height, width) > JPEG_SIDE_MAX:
        raise BadImageError(f"{width}x{height} pixels, more than a JPEG can have on one side")


def _keep_or_reencode(data: bytes, encoding: Encoding, check: Check) -> Payload:
    header = jpeg_header.scan(data) if data[:2] == jpeg_header.SOI else None
    warning = ""
    if header is not None and not header.unusual:
        decode.refuse_broken(header)
        warning = decode.libjpeg_warning(data) if check == "decode" else ""
        if not warning:
            return Payload(data, header.height, header.width, "kept", "")
    image, orientation, reason = decode.open_image(data)
    if header is not None:
        warning = warning or decode.libjpeg_warning(data)
        decode.refuse_lost(data, warning)
    pixels = decode.upright(decode.to_array(image, "L" if image.mode in decode.GREY_MODES else "RGB"), orientation)
    return _as_jpeg(pixels, encoding.quality, reason or warning)


def _as_jpeg(pixels: np.ndarray, quality: int, reason: str) -> Payload:
    import simplejpeg

    height, width = pixels.shape[:2]
    _refuse_long(height, width)
    colours = np.ascontiguousarray(pixels.reshape(height, width, -1))
    space = "GRAY" if colours.shape[2] == 1 else "RGB"
    encoded = simplejpeg.encode_jpeg(
        colours, quality=quality, colorspace=space, colorsubsampling=space.replace("RGB", "444").title()
    )
    return Payload(encoded, height, width, "re-encoded", reason)


def _read_planes(payload: np.ndarray, height: int, width: int) -> np.ndarray:
    if len(payload) != planes.planes_bytes(height, width):
        raise BadImageError(f"it has {len(payload)} bytes, not those of {width}x{height} planes")
    return planes.to_rgb_bilinear(payload, height, width)


def _read_file(payload: np.ndarray, _height: int, _width: int) -> np.ndarray:
    return decode_rgb(payload.tobytes())


@dataclass(frozen=True)
class Codec:
    """How an encoding is written and read."""

    write: Callable[[bytes, Encoding, Check], Payload]
    """A source file that is not empty -> what is stored; raises BadImageError."""
    read: Callable[[np.ndarray, int, int], np.ndarray]
    """What is stored, uint8 [length], height and width -> uint8 [height, width, 3] RGB; raises BadImageError."""


CODECS: dict[str, Codec] = {
    "yuv420": Codec(_encode_planes, _read_planes),
    "original": Codec(_keep_or_reencode, _read_file),
    "jpeg": Codec(_encode_resized, _read_file),
}
"""By the encoding's name."""
