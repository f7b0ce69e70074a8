"""Restart markers put into JPEGs: the same pixels for every reader, nothing written for what makes no sense."""

import io

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from convert.image import encode
from convert.image.encoding import Encoding
from convert.image.restart_markers import with_restart_markers

KINDS = ["444", "422", "420", "440", "411", "Gray"]


def picture(height=75, width=101):
    """Noise over a gradient: long codes, short codes, DC values of either sign."""
    draws = np.random.default_rng(height).integers(-90, 90, (height, width, 3))
    ramp = np.linspace(0, 255, width)[None, :, None]
    return np.clip(ramp + draws, 0, 255).astype(np.uint8)


def as_jpeg(pixels, kind, quality=90):
    if kind == "Gray":
        grey = np.ascontiguousarray(pixels[:, :, :1])
        return simplejpeg.encode_jpeg(grey, quality=quality, colorspace="GRAY", colorsubsampling="Gray")
    return simplejpeg.encode_jpeg(pixels, quality=quality, colorsubsampling=kind)


def readers(file):
    return [
        cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR),
        np.asarray(Image.open(io.BytesIO(file)).convert("RGB")),
        simplejpeg.decode_jpeg(file),
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quality", [10, 90, 100])
def test_every_reader_sees_the_same_pixels(kind, quality):
    file = as_jpeg(picture(), kind, quality)
    marked = with_restart_markers(file)
    assert marked != file
    for before, after in zip(readers(file), readers(marked), strict=True):
        np.testing.assert_array_equal(before, after)


def test_mindspore_reads_what_is_stored():
    from mindspore.dataset import vision

    payload = encode.encode(as_jpeg(picture(300, 400), "444"), Encoding("jpeg", 256, 90))
    assert b"\xff\xdd\x00\x04\x00\x01" in payload.data
    decoded = vision.Decode()(np.frombuffer(payload.data, np.uint8))
    np.testing.assert_array_equal(decoded, readers(payload.data)[0][:, :, ::-1])


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_blocks": 3}])
def test_other_kinds_are_refused(options):
    stream = io.BytesIO()
    Image.fromarray(picture()).save(stream, "JPEG", **options)
    with pytest.raises(ValueError, match="without restart markers"):
        with_restart_markers(stream.getvalue())


def test_bits_without_sense_are_refused():
    file = as_jpeg(picture(), "420")
    for cut in (file[: len(file) // 2], file[:-200] + b"\xff\xd9", file[:700] + bytes(3000)):
        with pytest.raises(ValueError, match="make no sense"):
            with_restart_markers(cut)
