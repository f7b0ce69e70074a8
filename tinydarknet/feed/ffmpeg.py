"""FFmpeg's JPEG decoder as compiled code calls it: bytes in, addresses of planes out, no interpreter on the way.

PyAV's wheels carry the library for every platform. PyAV's own objects would take a quarter of a window's time and the
interpreter lock with them, so FFmpeg's public C functions are called by their addresses. The places below, at the head of
AVPacket and AVFrame, are those of the one version that was tried; the tests decode images with it.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
import weakref
from typing import Any

import numpy as np
from numba.np.numpy_support import carray

from convert.image.compiled import call, compiled, pointer

_VERSIONS = (62,)
"""Of libavcodec (FFmpeg 8), whose packet and frame have the layout below; others were not tried and are left to OpenCV."""

_PACKET_BYTES, _PACKET_DATA, _PACKET_SIZE = 40, 3, 8
"""AVPacket's head: `data` as a place of 8 bytes, `size` as one of 4."""

_FRAME_BYTES, _FRAME_STRIDES, _FRAME_WIDTH, _FRAME_HEIGHT, _FRAME_FORMAT = 120, 16, 26, 27, 29
"""AVFrame's head: pointers to the planes first, in 8 bytes each; the others as places of 4 bytes."""

_PIXELS_MAX = 1 << 30
"""Of an image, as OpenCV's CV_IO_MAX_IMAGE_PIXELS."""

_OPTIONS = {"threads": "1", "err_detect": "explode", "max_pixels": str(_PIXELS_MAX)}
_OPTIONS_X86 = {"idct": "xvid"}
"""A faster inverse DCT, as near to libjpeg's (0.02 grey levels); elsewhere it has no vector instructions."""

FORMATS = {
    "yuvj420p": (2, 2), "yuvj422p": (1, 2), "yuvj440p": (2, 1), "yuvj444p": (1, 1), "yuvj411p": (1, 4), "gray": (0, 0),
}  # fmt: skip
"""What FFmpeg calls 8-bit planes: the luma rows and columns that a chroma pixel spans; 0 where there is no chroma."""


@functools.cache
def _library() -> ctypes.CDLL:
    """FFmpeg, found through the module of PyAV that is linked with it.

    Raises:
        ImportError: PyAV is missing, or of a version that was not tried.
    """
    import av.codec.context

    version = av.library_versions["libavcodec"][0]
    if version not in _VERSIONS or sys.maxsize < 1 << 32:
        raise ImportError(f"libavcodec {version} is unknown here")
    library = ctypes.CDLL(av.codec.context.__file__)
    for name in ("avcodec_find_decoder_by_name", "avcodec_alloc_context3", "av_packet_alloc", "av_frame_alloc"):
        getattr(library, name).restype = ctypes.c_void_p
    return library


@functools.cache
def problem() -> str:
    """Why FFmpeg cannot be used, "" if it can."""
    try:
        _library()
    except (ImportError, OSError) as error:
        return str(error)
    return ""


class JpegDecoder:
    """For one thread.

    Attributes:
        handles: for `decode_jpeg`, uintp [6].
        formats: FFmpeg's numbers of `FORMATS`, and what a chroma pixel spans, int64 [formats, 3].
    """

    def __init__(self) -> None:
        library = _library()
        codec = library.avcodec_find_decoder_by_name(b"mjpeg")
        context, options = ctypes.c_void_p(library.avcodec_alloc_context3(ctypes.c_void_p(codec))), ctypes.c_void_p()
        for name, value in (_OPTIONS | (_OPTIONS_X86 if platform.machine() == "x86_64" else {})).items():
            library.av_dict_set(ctypes.byref(options), name.encode(), value.encode(), 0)
        status = library.avcodec_open2(context, ctypes.c_void_p(codec), ctypes.byref(options))
        library.av_dict_free(ctypes.byref(options))
        packet, frame = ctypes.c_void_p(library.av_packet_alloc()), ctypes.c_void_p(library.av_frame_alloc())
        weakref.finalize(self, _free, library, context, packet, frame)
        if status < 0 or not (packet and frame):
            raise RuntimeError(f"FFmpeg's JPEG decoder does not open: error {status}")
        functions = [
            ctypes.cast(getattr(library, name), ctypes.c_void_p).value
            for name in ("avcodec_send_packet", "avcodec_receive_frame")
        ]
        self.handles = np.array([context.value, packet.value, frame.value, *functions], np.uintp)
        self.formats = np.array(
            [[library.av_get_pix_fmt(name.encode()), *spans] for name, spans in FORMATS.items()], np.int64
        )


def _free(library: Any, context: Any, packet: Any, frame: Any) -> None:
    library.av_frame_free(ctypes.byref(frame))
    library.av_packet_free(ctypes.byref(packet))
    library.avcodec_free_context(ctypes.byref(context))


@compiled
def decode_jpeg(handles: np.ndarray, jpeg: np.ndarray, planes: np.ndarray) -> bool:
    """Decode one JPEG; False if FFmpeg finds it damaged: the decoder must not be used again then.

    Args:
        handles: of a `JpegDecoder`.
        jpeg: uint8 [N]; the caller keeps it alive.
        planes: int64 [9], written: addresses of three planes, valid until the next call; their strides in bytes; height
            and width of the first, pixels; FFmpeg's number of the format.
    """
    packet = carray(pointer(handles[1]), (_PACKET_BYTES,), np.uint8)
    packet.view(np.uint64)[_PACKET_DATA] = jpeg.ctypes.data
    packet.view(np.int32)[_PACKET_SIZE] = len(jpeg)
    # the packet owns no buffer, so FFmpeg copies what it reads, and pads it
    decoded = call(handles[3], handles[0], handles[1]) == 0 and call(handles[4], handles[0], handles[2]) == 0
    packet.view(np.uint64)[_PACKET_DATA] = 0
    packet.view(np.int32)[_PACKET_SIZE] = 0
    if not decoded:
        return False
    frame = carray(pointer(handles[2]), (_FRAME_BYTES,), np.uint8)
    planes[:3] = frame.view(np.int64)[:3]
    numbers = frame.view(np.int32)
    planes[3:6] = numbers[_FRAME_STRIDES : _FRAME_STRIDES + 3]
    planes[6], planes[7], planes[8] = numbers[_FRAME_HEIGHT], numbers[_FRAME_WIDTH], numbers[_FRAME_FORMAT]
    return True
