"""What the encoding jpeg stores: restart markers after each MCU, and the same pixels for every reader."""

import io

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convert.image import encode, jpeg_header, planes
from convert.image.encoding import Encoding

ENCODING = Encoding("jpeg", 96, 90)


def picture(kind):
    """A source file: noise over a gradient."""
    draws = np.random.default_rng(1).integers(-90, 90, (150, 203, 3))
    pixels = np.clip(np.linspace(0, 255, 203)[None, :, None] + draws, 0, 255).astype(np.uint8)
    return cv2.imencode(".png", pixels[:, :, 0] if kind == "grey" else pixels)[1].tobytes()


def by_opencv(file):
    return cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR_RGB)


def by_pillow(file):
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def by_mindspore(file):
    from mindspore.dataset import vision

    return vision.Decode()(np.frombuffer(file, np.uint8))


READERS = [by_opencv, by_pillow, by_mindspore, simplejpeg.decode_jpeg, encode.decode_rgb]


@pytest.mark.parametrize("kind", ["colour", "grey"])
def test_every_reader_sees_the_pixels_of_a_file_without_markers(kind, monkeypatch):
    marked = encode.encode(picture(kind), ENCODING)
    monkeypatch.setattr(cv2, "IMWRITE_JPEG_RST_INTERVAL", -1)  # a parameter that OpenCV does not know
    plain = encode.encode(picture(kind), ENCODING)
    assert b"\xff\xdd\x00\x04\x00\x01" in marked.data
    assert b"\xff\xdd" not in plain.data
    assert len(plain.data) < len(marked.data) < 1.06 * len(plain.data)
    for reader in READERS:
        np.testing.assert_array_equal(reader(marked.data), reader(plain.data), str(reader))


@pytest.mark.parametrize("kind", ["colour", "grey"])
def test_an_mcu_is_of_16_pixels_and_ends_with_a_marker(kind):
    payload = encode.encode(picture(kind), ENCODING)
    assert (payload.height, payload.width) == (96, 130)
    frame = next(body for marker, body, _ in jpeg_header.segments(payload.data) if marker == 0xC0)
    assert frame[6:] == bytes((1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1))
    markers = [second & 7 for first, second in zip(payload.data, payload.data[1:], strict=False)
               if first == 0xFF and 0xD0 <= second <= 0xD7]  # fmt: skip
    assert markers == [number % 8 for number in range(6 * 9 - 1)]


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 60), st.integers(2, 60), st.integers(1, 90), st.integers(1, 90), st.sampled_from([(), (3,)]))
def test_images_are_shrunk_as_by_opencv(height, width, more_rows, more_columns, channels):
    pixels = np.random.default_rng(height).integers(
        0, 256, (height + more_rows, width + more_columns, *channels), np.uint8
    )
    expected = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    if max(more_rows, more_columns) == 1:
        expected = pixels[:height, :width]
    found = planes.resized(pixels, height, width)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 1
