"""Windows cut out of JPEGs: the pixels of the whole, or a refusal; never a byte outside a buffer."""

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinydarknet.feed import jpeg_window
from tinydarknet.feed.ffmpeg import FORMATS, JpegDecoder, decode_jpeg
from tinydarknet.feed.jpeg_window import CUT, DAMAGED, FOREIGN, HEIGHT, LEFT, SIZE, STATUS, TABLES, TOP, WIDTH

GUARD = 0xA5
HEIGHT_WIDTH = (90, 122)
SAMPLING_FACTORS = {
    kind: getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{kind}") for kind in ("444", "422", "420", "440", "411")
}
KINDS = [*SAMPLING_FACTORS, "Gray"]


def picture():
    """A smooth photograph of sorts."""
    noise = np.random.default_rng(1).integers(0, 256, (12, 16, 3), np.uint8)
    return np.ascontiguousarray(cv2.resize(noise, HEIGHT_WIDTH[::-1], interpolation=cv2.INTER_CUBIC))


def as_jpeg(kind, *, marked):
    factors = {} if kind == "Gray" else {cv2.IMWRITE_JPEG_SAMPLING_FACTOR: SAMPLING_FACTORS[kind]}
    options = {cv2.IMWRITE_JPEG_QUALITY: 90, cv2.IMWRITE_JPEG_RST_INTERVAL: int(marked), **factors}
    pixels = picture()[:, :, 0] if kind == "Gray" else picture()
    return cv2.imencode(".jpg", pixels, [number for option in options.items() for number in option])[1].tobytes()


def cut(file, box, size=HEIGHT_WIDTH):
    """The result, the JPEG that was cut, as bytes; everything around the buffers must stay as it was."""
    data = np.frombuffer(file, np.uint8)
    room = len(data) + jpeg_window.ROOM_BYTES
    out = np.full(room + 64, GUARD, np.uint8)
    tables = np.full(jpeg_window.TABLES_BYTES + 64, GUARD, np.uint8)
    result = np.zeros(jpeg_window.RESULT_COLUMNS, np.int64)
    jpeg_window.cut_window(
        np.uintp(data.ctypes.data), len(data), np.array(size), np.array(box), out[:room], tables[:-64], result
    )
    assert (out[room:] == GUARD).all()
    assert (tables[-64:] == GUARD).all()
    assert result[STATUS] in (CUT, FOREIGN, DAMAGED)
    assert result[SIZE] <= room
    return result, b"".join((out[:2].tobytes(), tables[: result[TABLES]].tobytes(), out[2 : result[SIZE]].tobytes()))


def decode(file):
    """Planes, as arrays, or None."""
    decoder, jpeg, planes = JpegDecoder(), np.frombuffer(file, np.uint8), np.zeros(9, np.int64)
    if not decode_jpeg(decoder.handles, jpeg, planes):
        return None
    spans = next(spans for number, *spans in decoder.formats.tolist() if number == planes[8])
    height, width = int(planes[6]), int(planes[7])
    shapes = [(height, width), *([(-(-height // spans[0]), -(-width // spans[1]))] * 2 if spans[0] else [])]
    return [
        np.ctypeslib.as_array((np.ctypeslib.ctypes.c_uint8 * (rows * int(stride))).from_address(int(address)))
        .reshape(rows, int(stride))[:, :columns]
        .copy()
        for (rows, columns), address, stride in zip(shapes, planes[:3], planes[3:6], strict=False)
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("box", [(0, 0, 90, 122), (34, 40, 20, 50), (88, 120, 2, 2), (16, 32, 16, 16), (0, 70, 90, 4)])
def test_a_window_decodes_to_the_pixels_of_the_whole(kind, marked, box):
    file = as_jpeg(kind, marked=marked)
    result, part = cut(file, box)
    assert result[STATUS] == CUT
    top, left, height, width = (int(result[place]) for place in (TOP, LEFT, HEIGHT, WIDTH))
    assert top <= box[0]
    assert left <= box[1]
    assert top + height >= box[0] + box[2]
    assert left + width >= box[1] + box[3]
    assert len(part) <= len(file) + jpeg_window.ROOM_BYTES
    whole, alone = decode(file), decode(part)
    assert alone[0].shape == (height, width)
    for one, other in zip(whole, alone, strict=True):
        down, across = round(HEIGHT_WIDTH[0] / one.shape[0]), round(HEIGHT_WIDTH[1] / one.shape[1])
        rows, columns = other.shape
        np.testing.assert_array_equal(one[top // down :][:rows, left // across :][:, :columns], other)


def test_a_window_of_a_marked_file_is_small():
    file = as_jpeg("420", marked=True)
    assert len(cut(file, (34, 40, 20, 20))[1]) < len(file) / 2


def marks(file):
    return [at for at in range(len(file) - 1) if file[at] == 0xFF and 0xD0 <= file[at + 1] <= 0xD7]


def segment(file, marker):
    return file.index(bytes((0xFF, marker)))


def test_what_does_not_hold_together_is_damaged():
    file = as_jpeg("420", marked=True)
    places, box = marks(file), (34, 40, 20, 50)
    bad = {
        "cut short": file[:-500],
        "no end": file[:-2],
        "a marker missing": file[: places[5]] + file[places[5] + 2 :],
        "a surplus marker": file[: places[5]] + b"\xff\xd5" + file[places[5] :],
        "shuffled": file[: places[5]] + file[places[5] + 2 : places[6]] + b"\xff\xd6" + file[places[6] :],
        "ends early": file[: places[20]] + b"\xff\xd9" + file[places[20] :],
        "a length beyond the end": file.replace(b"\xff\xda\x00\x0c", b"\xff\xda\xff\xff"),
        "a length of none": file.replace(b"\xff\xc0\x00\x11", b"\xff\xc0\x00\x01"),
        "a length of another frame": file.replace(b"\xff\xc0\x00\x11", b"\xff\xc0\x00\x14"),
        "no tables": file[: segment(file, 0xC4)] + file[segment(file, 0xDD) :],
        "empty": b"\xff",
        "nothing but a beginning": file[:2],
    }
    for name, data in bad.items():
        assert cut(data, box)[0][STATUS] == DAMAGED, name
    assert cut(file, box)[0][STATUS] == CUT
    assert cut(file, box, (90, 120))[0][STATUS] == DAMAGED
    for outside in ((80, 0, 12, 12), (0, 120, 2, 4), (-2, 0, 4, 4), (0, 0, 0, 2)):
        assert cut(file, outside)[0][STATUS] == DAMAGED


def mutated(file, changes):
    data = bytearray(file)
    for kind, place, value in changes:
        at = place % len(data)
        if kind == "set":
            data[at] = value
        elif kind == "insert":
            data[at:at] = bytes((0xFF, value))
        else:
            del data[at : at + value % 40 + 1]
        if not data:
            return b"\xff\xd8"
    return bytes(data)


CHANGES = st.lists(
    st.tuples(st.sampled_from(["set", "insert", "delete"]), st.integers(0, 4000), st.integers(0, 255)), max_size=4
)
BOXES = st.tuples(st.integers(0, 44), st.integers(0, 60), st.integers(1, 23), st.integers(1, 31))
FILES = {(kind, marked): as_jpeg(kind, marked=marked) for kind in ("420", "444", "Gray") for marked in (True, False)}


def check_mutated(kind, changes, box):
    file = mutated(FILES[kind], changes)
    box = tuple(2 * value for value in box)
    result, part = cut(file, box)
    if result[STATUS] != CUT:
        return
    planes = decode(part)
    assert planes is None or planes[0].shape == (result[HEIGHT], result[WIDTH])


FUZZ = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=300, **FUZZ)
@given(st.sampled_from(sorted(FILES)), CHANGES, BOXES)
def test_mutated_files_are_cut_to_what_decodes_or_refused(kind, changes, box):
    check_mutated(kind, changes, box)


@pytest.mark.slow
@settings(max_examples=20_000, **FUZZ)
@given(st.sampled_from(sorted(FILES)), CHANGES, BOXES)
def test_twenty_thousand_mutated_files(kind, changes, box):
    check_mutated(kind, changes, box)


def test_formats_are_known_to_ffmpeg():
    assert (JpegDecoder().formats[:, 0] >= 0).all()
    assert len(FORMATS) == 6
