"""Stored images that do not decode: every feed names or replaces them, whatever the decoder makes of them."""

import shutil

import numpy as np
import pytest

from convert.dataset import Dataset
from convert.errors import UserError
from tinydarknet.colour import IMAGENET
from tinydarknet.feed.augment import Augmentation
from tinydarknet.feed.batch_plan import Drawing
from tinydarknet.feed.damage import HealthPolicy, RowHealth
from tinydarknet.feed.dvpp import DvppSource, device_operators
from tinydarknet.feed.order import TrainingStream
from tinydarknet.feed.planes import PlanesSource

SOF_MARKERS = (b"\xff\xc0", b"\xff\xc1", b"\xff\xc2")
DAMAGED_ROWS = (5, 6)


def zeroed(_payload):
    return bytes(len(_payload))


def of_giant_size(payload):
    """The same JPEG, whose header says 65,500x65,500 pixels: OpenCV raises instead of returning None."""
    place = min(place for marker in SOF_MARKERS if (place := payload.find(marker)) > 0)
    return payload[: place + 5] + (65_500).to_bytes(2, "big") * 2 + payload[place + 9 :]


@pytest.fixture(params=[zeroed, of_giant_size])
def damaged(request, original_dataset, tmp_path):
    directory = shutil.copytree(original_dataset, tmp_path / "damaged")
    records = Dataset(original_dataset)
    for row in DAMAGED_ROWS:
        payload = request.param(records.payload(row).tobytes())
        with (directory / records.manifest.shards[records._shards[row]].name).open("r+b") as stream:
            stream.seek(int(records._offsets[row]))
            stream.write(payload)
    return directory


def on_the_host(drawing):
    return PlanesSource(drawing, IMAGENET)


def by_the_device(drawing):
    """DVPP's operators, placed on the CPU."""
    return DvppSource(drawing, IMAGENET, lambda window, flip, size, _: device_operators(window, flip, size, "CPU"))


def ids_of(directory, make_source, tolerate):
    records = Dataset(directory)
    stream = TrainingStream(len(records), 35, 0, 0, 1, 0, 2)
    health = RowHealth(records, HealthPolicy(tolerate=tolerate))
    source = make_source(Drawing(records, stream, 32, Augmentation(), health))
    batch, ids = source.allocate(), []
    for step in range(source.steps):
        source.fill(step, batch)
        ids += batch["id"].tolist()
    return ids


@pytest.mark.parametrize("make_source", [on_the_host, by_the_device])
def test_an_undecodable_image_is_named_or_replaced(damaged, make_source):
    with pytest.raises(UserError, match=r"row [56] \(n\d+/.*\) is damaged, it does not decode.*convert verify"):
        ids_of(damaged, make_source, tolerate=0)
    expected = sorted([*(set(range(70)) - set(DAMAGED_ROWS)), 7, 7])
    assert sorted(ids_of(damaged, make_source, tolerate=2)) == expected


def test_what_the_device_alone_refuses_is_not_called_damaged(original_dataset):
    def refusing(*_):
        raise RuntimeError("Dvpp Decode failed.\nC++ call stack")

    def sources(drawing):
        return DvppSource(drawing, IMAGENET, lambda *_: [refusing])

    with pytest.raises(
        UserError, match=r"row \d+ \(n\d+/.*\) was refused by the device, Dvpp Decode failed: .*--feed host"
    ):
        ids_of(original_dataset, sources, tolerate=70)


@pytest.mark.parametrize("tolerate", [69, 1000])
def test_a_dataset_without_a_sound_image_ends_the_run(original_dataset, tolerate, monkeypatch):
    records = Dataset(original_dataset)
    monkeypatch.setattr(records, "is_intact", lambda _row: False)
    with pytest.raises(UserError, match=r"convert verify"):
        RowHealth(records, HealthPolicy(tolerate=tolerate, check_reads=True)).sound(np.array([3]))
