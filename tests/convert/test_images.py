"""Every odd file lands in its documented class, and decodes to the same picture as Pillow's."""

from __future__ import annotations

import io

import convert_odd as odd
import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageOps

from convert.errors import BadImageError
from convert.image import decode, encode, planes
from convert.image.encoding import ORIGINAL_QUALITY, Encoding

ORIGINAL = Encoding("original", 0, ORIGINAL_QUALITY)
GREY_FILES = ("grey", "png of 16 bits")


def as_pillow_sees_it(name: str, data: bytes) -> np.ndarray:
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if name == "png of 16 bits":  # Pillow's own conversion clips to 255
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    return np.asarray(image.convert("RGB"))


def mean_difference(one: np.ndarray, other: np.ndarray) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


@pytest.mark.parametrize("name", odd.GOOD)
def test_odd_files_decode_as_in_pillow(name):
    data = odd.GOOD[name][0]()
    decoded = encode.decode_rgb(data)
    assert decoded.dtype == np.uint8
    assert mean_difference(decoded, as_pillow_sees_it(name, data)) < 0.5
    if name not in GREY_FILES:
        assert mean_difference(decoded, odd.pixels()) < 6


@pytest.mark.parametrize("name", odd.GOOD)
def test_odd_files_become_planes(name):
    data = odd.GOOD[name][0]()
    payload = encode.encode(data, Encoding("yuv420", 64))
    assert (payload.height, payload.width) == (64, 86)
    assert len(payload.data) == planes.planes_bytes(64, 86)
    wanted = cv2.resize(as_pillow_sees_it(name, data), (86, 64), interpolation=cv2.INTER_AREA)
    assert mean_difference(planes.to_rgb_bilinear(np.frombuffer(payload.data, np.uint8), 64, 86), wanted) < 3.5
    assert payload.action == "encoded"


@pytest.mark.parametrize("name", odd.GOOD)
def test_original_keeps_plain_files_and_makes_the_others_plain(name):
    make, reason = odd.GOOD[name]
    payload = encode.encode(make(), ORIGINAL)
    assert payload.reason == reason
    assert payload.action == ("re-encoded" if reason else "kept")
    assert (payload.data == make()) == (not reason)
    assert (payload.height, payload.width) == (odd.HEIGHT, odd.WIDTH)
    again = encode.encode(payload.data, ORIGINAL)
    assert again.action == "kept"
    assert mean_difference(encode.decode_rgb(payload.data), as_pillow_sees_it(name, make())) < 3


@pytest.mark.parametrize("name", odd.GOOD)
def test_jpeg_is_resized_and_plain(name):
    payload = encode.encode(odd.GOOD[name][0](), Encoding("jpeg", 64, 90))
    assert (payload.height, payload.width) == (64, 86)
    assert encode.encode(payload.data, ORIGINAL).action == "kept"
    assert encode.decode_rgb(payload.data).shape == (64, 86, 3)


@pytest.mark.parametrize("encoding", [Encoding("yuv420", 64), Encoding("jpeg", 64, 90), ORIGINAL])
@pytest.mark.parametrize("name", odd.BAD)
def test_bad_files_are_refused(name, encoding):
    make, reason = odd.BAD[name]
    with pytest.raises(BadImageError, match=reason or "."):
        encode.encode(make(), encoding)


@pytest.mark.parametrize("subsampling", [0, 2])
def test_checking_an_eighth_of_the_pixels_finds_what_decoding_all_of_them_finds(subsampling):
    whole, chance, damaged = odd.jpeg(subsampling=subsampling), np.random.default_rng(7), 0
    for _ in range(300):
        data = bytearray(whole)
        for position in chance.integers(2, len(data) - 2, chance.integers(1, 4)):
            data[position] ^= 1 << int(chance.integers(8))
        try:
            simplejpeg.decode_jpeg(bytes(data), "RGB")
            wanted = ""
        except ValueError as error:
            wanted = f"libjpeg: {str(error).split(' <')[0].strip()}"
        assert decode.libjpeg_warning(bytes(data)) == wanted
        damaged += bool(wanted)
    assert damaged > 20


def test_scanning_refuses_what_kills_mindspore():
    for name in ("cut before the scan", "cut between frame and scan", "cut in the header", "empty", "gigapixels"):
        with pytest.raises(BadImageError):
            encode.encode(odd.BAD[name][0](), ORIGINAL, "scan")


@pytest.mark.parametrize(
    ("source", "short_side", "stored"),
    [
        ((375, 500), 256, (256, 342)),
        ((500, 375), 256, (342, 256)),
        ((375, 500), 0, (374, 500)),
        ((200, 301), 256, (200, 300)),
        ((256, 256), 256, (256, 256)),
        ((1, 1), 256, (2, 2)),
        ((1, 7), 0, (2, 6)),
        ((20, 20_000), 256, (20, 20_000)),
        ((300, 30_000), 256, (256, 25_600)),
    ],
)
def test_stored_sizes_are_even_and_never_enlarged(source, short_side, stored):
    assert planes.stored_size(source[0], source[1], short_side) == stored


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (3, 2), (20, 20_000)])
def test_extreme_shapes(height, width):
    data = odd.saved(Image.new("RGB", (width, height), (10, 200, 90)), "PNG")
    payload = encode.encode(data, Encoding("yuv420", 256))
    assert len(payload.data) == planes.planes_bytes(payload.height, payload.width)
    rgb = planes.to_rgb_bilinear(np.frombuffer(payload.data, np.uint8), payload.height, payload.width)
    assert np.abs(rgb.astype(int) - (10, 200, 90)).max() <= 2
    original = encode.encode(data, ORIGINAL)
    assert (original.height, original.width) == (height, width)


def test_fidelity_on_a_fixed_image():
    data = odd.jpeg()
    payload = encode.encode(data, Encoding("yuv420", 96))
    wanted = cv2.resize(as_pillow_sees_it("", data), (payload.width, payload.height), interpolation=cv2.INTER_AREA)
    found = planes.to_rgb_bilinear(np.frombuffer(payload.data, np.uint8), payload.height, payload.width)
    assert mean_difference(found, wanted) < 2


def test_fidelity_on_real_images(real_images):
    differences = []
    for path in sorted(real_images.glob("train/*/*")):
        data = path.read_bytes()
        payload = encode.encode(data, Encoding("yuv420", 256))
        wanted = cv2.resize(as_pillow_sees_it("", data), (payload.width, payload.height), interpolation=cv2.INTER_AREA)
        found = planes.to_rgb_bilinear(np.frombuffer(payload.data, np.uint8), payload.height, payload.width)
        differences.append(mean_difference(found, wanted))
    assert len(differences) == 250
    assert np.mean(differences) < 2
