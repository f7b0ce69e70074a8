"""Stored images that do not decode: every feed names or replaces them, whatever the decoder makes of them."""

import shutil

import numpy as np
import pytest

from convert.dataset import Dataset
from convert.errors import UserError
from tinydarknet.colour import IMAGENET
from tinydarknet.feed.augment import Augmentation
from tinydarknet.feed.batch_fill import BatchFiller, PlaneImages
from tinydarknet.feed.batch_plan import Planner
from tinydarknet.feed.damage import HealthPolicy, RowHealth
from tinydarknet.feed.dvpp import DvppImages, device_operators
from tinydarknet.feed.order import TrainingStream

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


def on_the_host(planner):
    return PlaneImages(planner, 32, IMAGENET)


def by_the_device(planner):
    """DVPP's operators, placed on the CPU."""
    return DvppImages(planner, 32, IMAGENET, lambda window, flip, size, _: device_operators(window, flip, size, "CPU"))


def ids_of(directory, make_images, tolerate):
    records = Dataset(directory)
    stream = TrainingStream(len(records), 35, 0, 0, 1, 0, 2)
    health = RowHealth(records, HealthPolicy(tolerate=tolerate))
    planner = Planner(records, stream, Augmentation(), health)
    source = BatchFiller(planner, make_images(planner))
    batch, ids = source.allocate(), []
    for step in range(stream.steps):
        source.fill(step, batch)
        ids += batch["id"].tolist()
    return ids


@pytest.mark.parametrize("make_images", [on_the_host, by_the_device])
def test_an_undecodable_image_is_named_or_replaced(damaged, make_images):
    with pytest.raises(UserError, match=r"row [56] \(n\d+/.*\) is damaged, it does not decode.*convert verify"):
        ids_of(damaged, make_images, tolerate=0)
    expected = sorted([*(set(range(70)) - set(DAMAGED_ROWS)), 7, 7])
    assert sorted(ids_of(damaged, make_images, tolerate=2)) == expected


def test_what_the_device_alone_refuses_is_not_called_damaged(original_dataset):
    def refusing(*_):
        raise RuntimeError("Dvpp Decode failed.\nC++ call stack")

    def images(planner):
        return DvppImages(planner, 32, IMAGENET, lambda *_: [refusing])

    with pytest.raises(UserError, match=r"row \d+ \(n\d+/.*\) was refused by the device, Dvpp Decode failed: .*host"):
        ids_of(original_dataset, images, tolerate=70)


@pytest.mark.parametrize("tolerate", [69, 1000])
def test_a_dataset_without_a_sound_image_ends_the_run(original_dataset, tolerate, monkeypatch):
    records = Dataset(original_dataset)
    monkeypatch.setattr(records, "is_intact", lambda _row: False)
    with pytest.raises(UserError, match=r"convert verify"):
        RowHealth(records, HealthPolicy(tolerate=tolerate, check_reads=True)).replace_damaged(np.array([3]))
