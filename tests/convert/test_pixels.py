"""Pixels are what a careful viewer shows: orientation once, samples scaled, nothing resampled for evenness; damage is told."""

from __future__ import annotations

import io
import struct

import convert_odd as odd
import cv2
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from convert.errors import BadImageError
from convert.image import encode, planes
from convert.image.encoding import ORIGINAL_QUALITY, Encoding

ORIGINAL, PLANES = Encoding("original", 0, ORIGINAL_QUALITY), Encoding("yuv420", 0)
GREY = cv2.GaussianBlur(cv2.cvtColor(odd.pixels(), cv2.COLOR_RGB2GRAY), (5, 5), 0)
TURN = Image.Transpose.ROTATE_180


def planes_of(data: bytes) -> np.ndarray:
    payload = encode.encode(data, PLANES)
    return planes.to_rgb_bilinear(np.frombuffer(payload.data, np.uint8), payload.height, payload.width)


def difference(data: bytes, wanted: np.ndarray) -> float:
    """Mean over both ways to decode a file, the planes' and the one that shows it."""
    wanted = np.broadcast_to(wanted[..., None], (*wanted.shape, 3)) if wanted.ndim == 2 else wanted
    found = [planes_of(data), encode.decode_rgb(data)]
    return float(max(np.abs(image.astype(int) - wanted[: len(image), : image.shape[1]]).mean() for image in found))


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


def xmp(orientation: int) -> bytes:
    return f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_blocks(data: bytes, *blocks: bytes) -> bytes:
    return data[:2] + b"".join(segment(0xE1, block) for block in blocks) + data[2:]


def turned(kind: str, **options) -> bytes:
    return odd.saved(Image.fromarray(odd.pixels()).transpose(TURN), kind, **options)


def tiff_tag(number: int, value: int) -> TiffImagePlugin.ImageFileDirectory_v2:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[number] = value
    return tags


XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
UPRIGHT = {
    "tiff": lambda: turned("TIFF", tiffinfo=tiff_tag(274, 3)),
    "png": lambda: turned("PNG", exif=exif(3)),
    "webp": lambda: turned("WEBP", exif=exif(3), lossless=True),
    "avif": lambda: turned("AVIF", exif=exif(3), quality=95),
    "first of two EXIF blocks": lambda: with_blocks(turned("JPEG", quality=95), exif(3).tobytes(), exif(6).tobytes()),
    "second block only": lambda: with_blocks(turned("JPEG", quality=95), Image.Exif().tobytes(), exif(3).tobytes()),
    "XMP alone": lambda: with_blocks(turned("JPEG", quality=95), XMP_HEAD + xmp(3)),
    "EXIF before XMP": lambda: with_blocks(turned("JPEG", quality=95), XMP_HEAD + xmp(6), exif(3).tobytes()),
}


@pytest.mark.parametrize("name", UPRIGHT)
def test_an_orientation_is_applied_once(name):
    assert difference(UPRIGHT[name](), odd.pixels()) < 6


def tiff(samples: np.ndarray, **tags: int) -> bytes:
    numbers = {"photometric": 262, "sample_format": 339}
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for name, value in tags.items():
        info[numbers[name]] = value
    return odd.saved(Image.fromarray(samples), "TIFF", tiffinfo=info)


SAMPLES = {
    "16 bits": lambda: tiff(GREY.astype(np.uint16) * 257),
    "16 bits inverted": lambda: tiff(65535 - GREY.astype(np.uint16) * 257, photometric=0),
    "32 bits": lambda: tiff((GREY.astype(np.uint32) * 0x1010101).view(np.int32)).replace(
        struct.pack("<HHII", 339, 3, 1, 2), struct.pack("<HHII", 339, 3, 1, 1)
    ),
    "floats of 0 to 1": lambda: tiff((GREY / 255).astype(np.float32)),
    "16 bits of colour": cv2.imencode(".png", odd.pixels()[..., ::-1].astype(np.uint16) * 257)[1].tobytes,
    "grey with alpha": lambda: odd.saved(Image.fromarray(np.dstack([GREY, GREY]), "LA"), "PNG"),
    "transparent palette": lambda: odd.saved(
        Image.fromarray(odd.pixels()).quantize(250), "PNG", transparency=bytes(250)
    ),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", SAMPLES)
def test_samples_of_every_kind_are_scaled(name):
    colour = name in ("16 bits of colour", "transparent palette")
    assert difference(SAMPLES[name](), odd.pixels() if colour else GREY) < 6


@pytest.mark.parametrize(
    ("samples", "tags", "message"),
    [
        (GREY.astype(np.float32), {}, "floating-point samples beyond 0 to 1"),
        (np.full((8, 8), np.nan, np.float32), {}, "floating-point samples"),
        (GREY.astype(np.int32) << 20, {"sample_format": 2}, "samples with a sign"),
    ],
)
def test_samples_without_a_white_are_refused(samples, tags, message):
    for encoding in (PLANES, ORIGINAL):
        with pytest.raises(BadImageError, match=message):
            encode.encode(tiff(samples, **tags), encoding)


@pytest.mark.parametrize(("height", "width", "short_side"), [(51, 64, 256), (64, 51, 0), (51, 51, 50), (33, 33, 33)])
@pytest.mark.parametrize("grey", [True, False])
def test_even_sides_are_cut_and_not_resampled(height, width, short_side, grey):
    noise = np.random.default_rng(1).integers(0, 255, (height, width) if grey else (height, width, 3), np.uint8)
    payload = encode.encode(odd.saved(Image.fromarray(noise), "PNG"), Encoding("yuv420", short_side))
    luma = np.frombuffer(payload.data, np.uint8)[: payload.height * payload.width].reshape(
        payload.height, payload.width
    )
    wanted = noise if grey else cv2.cvtColor(noise, cv2.COLOR_RGB2YCrCb)[..., 0]
    assert (payload.height, payload.width) == (height // 2 * 2, width // 2 * 2)
    assert np.array_equal(luma, wanted[: payload.height, : payload.width])


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 160, 3), dtype=np.uint8))


def noisy(**options) -> bytes:
    return odd.saved(NOISE, "JPEG", quality=95, **options)


def halved(data: bytes, share: float = 0.5) -> bytes:
    return data[: int(len(data) * share)] + data[-2:]


def without_segment(data: bytes, marker: int) -> bytes:
    position = data.index(bytes([0xFF, marker]))
    return data[:position] + data[position + 2 + struct.unpack_from(">H", data, position + 2)[0] :]


def without_quantiser(data: bytes) -> bytes:
    """0 in its place."""
    position = data.index(b"\xff\xdb") + 9
    return data[:position] + b"\0" + data[position + 1 :]


def without_last_scan(data: bytes) -> bytes:
    return data[: data.rindex(b"\xff\xda")] + data[-2:]


LOST = {
    "half": lambda: halved(noisy()),
    "the last twentieth": lambda: halved(noisy(), 0.95),
    "half of CMYK": lambda: halved(odd.saved(NOISE.convert("CMYK"), "JPEG", quality=95)),
    "half, behind surplus": lambda: with_surplus(halved(noisy())),
    "half with restarts": lambda: halved(noisy(restart_marker_blocks=4)),
    "a restart": lambda: noisy(restart_marker_blocks=4).replace(b"\xff\xd3", b"", 1),
    "half of progressive": lambda: halved(noisy(progressive=True)),
    "most of progressive": lambda: halved(noisy(progressive=True), 0.9),
    "the last scan": lambda: without_last_scan(noisy(progressive=True)),
    "quantisation": lambda: without_segment(noisy(), 0xDB),
    "Huffman codes": lambda: without_segment(noisy(optimize=True), 0xC4),
    "Huffman codes that happen to be the standard's": lambda: without_segment(noisy(), 0xC4),
    "a quantiser": lambda: without_quantiser(noisy()),
    "a quantiser of progressive": lambda: without_quantiser(noisy(progressive=True)),
    "line ends": lambda: noisy().replace(b"\n", b"\r\n"),
    "line ends of progressive": lambda: noisy(progressive=True).replace(b"\n", b"\r\n"),
}


def with_surplus(data: bytes) -> bytes:
    """Zeros before the first table, as some programs leave them."""
    position = data.index(b"\xff\xdb")
    return data[:position] + bytes(7) + data[position:]


@pytest.mark.parametrize("encoding", [PLANES, Encoding("jpeg", 64, 90), ORIGINAL])
@pytest.mark.parametrize("name", LOST)
def test_what_has_lost_data_is_damaged(name, encoding):
    with pytest.raises(BadImageError):
        encode.encode(LOST[name](), encoding)


@pytest.mark.parametrize("name", LOST)
def test_what_has_lost_data_is_shown_to_nobody(name):
    with pytest.raises(BadImageError):
        encode.decode_rgb(LOST[name]())


WHOLE = {
    "surplus between segments": lambda: with_surplus(noisy()),
    "surplus behind the pixels": lambda: noisy()[:-2] + bytes(40) + noisy()[-2:],
    "both": lambda: with_surplus(noisy())[:-2] + bytes(40) + noisy()[-2:],
    "more behind the end": lambda: noisy() + b"more" * 100,
    "surplus in progressive": lambda: with_surplus(noisy(progressive=True)),
    "another revision": lambda: noisy().replace(b"JFIF\0\1", b"JFIF\0\3", 1),
    "restarts": lambda: noisy(restart_marker_blocks=4),
}


@pytest.mark.parametrize("name", WHOLE)
def test_harmless_bytes_are_no_damage(name):
    wanted = np.asarray(Image.open(io.BytesIO(noisy(progressive="progressive" in name))))
    for encoding in (PLANES, ORIGINAL):
        encode.encode(WHOLE[name](), encoding)
    assert np.abs(encode.decode_rgb(WHOLE[name]()).astype(int) - wanted).mean() < 1
