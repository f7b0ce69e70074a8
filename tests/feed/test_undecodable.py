"""Stored images that do not decode: every feed names or replaces them, whatever the decoder makes of them."""

import shutil

import numpy as np
import pytest

from convert.dataset import Dataset
from convert.errors import UserError
from tinydarknet.feed import HealthPolicy, dvpp, open_train_feed
from tinydarknet.feed.damage import RowHealth

pytestmark = pytest.mark.usefixtures("must_not_hang")

SOF_MARKERS = (b"\xff\xc0", b"\xff\xc1", b"\xff\xc2")
DAMAGED_ROWS = (5, 6)


def zeroed(_payload):
    return bytes(len(_payload))


def of_giant_size(payload):
    """The same JPEG, whose header says 65,500x65,500 pixels: OpenCV raises instead of returning None."""
    place = min(place for marker in SOF_MARKERS if (place := payload.find(marker)) > 0)
    return payload[: place + 5] + (65_500).to_bytes(2, "big") * 2 + payload[place + 9 :]


def with_impossible_codes(payload):
    """The same JPEG with three Huffman codes of one bit: what is whole, until the decoder makes its tables."""
    begin = payload.find(b"\xff\xc4") + 5
    counts = np.frombuffer(payload[begin : begin + 16], np.uint8).copy()
    counts[counts.argmax()] -= 3
    counts[0] += 3
    return payload[:begin] + counts.tobytes() + payload[begin + 16 :]


@pytest.fixture(params=[zeroed, of_giant_size, with_impossible_codes])
def damaged(request, original_dataset, tmp_path):
    directory = shutil.copytree(original_dataset, tmp_path / "damaged")
    records = Dataset(original_dataset)
    for row in DAMAGED_ROWS:
        payload = request.param(records.payload(row).tobytes())
        with (directory / records.manifest.shards[records._shards[row]].name).open("r+b") as stream:
            stream.seek(int(records._offsets[row]))
            stream.write(payload)
    return directory


def train_feed(directory, feed, tolerate, check_reads=False):
    health = HealthPolicy(tolerate=tolerate, check_reads=check_reads)
    return open_train_feed(
        directory, batch_size=35, image_size=32, last_step=4, feed=feed, health=health, threads=2, seed=1
    )  # fmt: skip


EXPECTED = sorted([*(set(range(70)) - set(DAMAGED_ROWS)), 7, 7])


@pytest.mark.parametrize("feed", ["host", "dvpp_on_cpu"])
def test_an_undecodable_image_is_named_or_replaced(damaged, feed):
    with pytest.raises(UserError, match=r"row [56] \(n\d+/.*\) is damaged, it does not decode.*convert verify"):
        list(train_feed(damaged, feed, tolerate=0))
    for check_reads in (False, True):
        batches = [batch["id"].tolist() for batch in train_feed(damaged, feed, 2, check_reads)]
        assert sorted(batches[0] + batches[1]) == sorted(batches[2] + batches[3]) == EXPECTED


def test_mindspore_reads_on_behind_an_image_that_ends_its_pipeline(damaged):
    feed = train_feed(damaged, "dvpp_on_cpu", tolerate=2)
    rows = feed.dataset().create_dict_iterator(num_epochs=1, output_numpy=True)
    batches = [row["id"].tolist() for row in rows]
    assert sorted(batches[0] + batches[1]) == sorted(batches[2] + batches[3]) == EXPECTED
    failing = train_feed(damaged, "dvpp_on_cpu", tolerate=1)
    with pytest.raises(RuntimeError) as error:
        list(failing.dataset().create_dict_iterator(num_epochs=1, output_numpy=True))
    assert "is damaged, it does not decode; 1 other damaged images are tolerated" in str(
        failing.explain_error(error.value)
    )


@pytest.mark.parametrize("damaged", [with_impossible_codes], indirect=True)
def test_what_the_device_alone_refuses_is_not_called_damaged(damaged, monkeypatch, capfd):
    monkeypatch.setattr(dvpp, "decode_windows", lambda *_: None)  # a host that decodes it
    assert len(list(train_feed(damaged, "dvpp_on_cpu", tolerate=0))) == 4
    assert (
        capfd.readouterr().err.count("is left to the host, the device refuses it: Error raised by libjpeg: Bogus") == 2
    )
    monkeypatch.setattr(dvpp, "decoding_problem", lambda _where: "Get Soc Version failed")
    with pytest.raises(UserError, match=r"no image is decoded any more, Get Soc Version failed: take the feed host"):
        list(train_feed(damaged, "dvpp_on_cpu", tolerate=70))


@pytest.mark.parametrize("tolerate", [69, 1000])
def test_a_dataset_without_a_sound_image_ends_the_run(original_dataset, tolerate, monkeypatch):
    records = Dataset(original_dataset)
    monkeypatch.setattr(records, "is_intact", lambda _row: False)
    with pytest.raises(UserError, match=r"convert verify"):
        RowHealth(records, HealthPolicy(tolerate=tolerate, check_reads=True)).replace_damaged(np.array([3]))
