"""Damage that shows while images are read."""

import shutil

import numpy as np
import pytest

from convert.dataset import Dataset
from convert.errors import UserError
from tinydarknet.feed.damage import HealthPolicy, RowHealth
from tinydarknet.feed.loader import open_eval_feed, open_train_feed


@pytest.fixture(params=["planes_dataset", "original_dataset"])
def damaged(request, tmp_path):
    return damaged_copy(request.getfixturevalue(request.param), tmp_path)


@pytest.fixture
def damaged_originals(original_dataset, tmp_path):
    return damaged_copy(original_dataset, tmp_path)


def damaged_copy(dataset, folder):
    """A copy of a dataset whose rows 5 and 6 have been overwritten."""
    directory = shutil.copytree(dataset, folder / "damaged")
    records = Dataset(directory)
    for row in (5, 6):
        with (directory / records.manifest.shards[records._shards[row]].name).open("r+b") as stream:
            stream.seek(int(records._offsets[row]))
            stream.write(b"\x00" * int(records._lengths[row]))
    return directory


def ids_of(directory, **policy):
    feed = open_train_feed(
        directory,
        batch_size=35,
        image_size=32,
        health=HealthPolicy(**policy),
    )
    return np.concatenate([batch["id"] for batch in feed])


def test_a_damaged_row_is_told_by_shard_row_and_key(damaged):
    with pytest.raises(UserError, match=r"train\.mindrecord\d+: row [56] \(n\d+/.*\) is damaged.*convert verify"):
        ids_of(damaged, check_reads=True)


def test_too_many_damaged_rows_are_too_many(damaged):
    with pytest.raises(UserError, match=r"1 other damaged images are tolerated, and no more"):
        ids_of(damaged, check_reads=True, tolerate=1)


def test_tolerated_rows_are_replaced_by_their_neighbour(damaged):
    ids = sorted(ids_of(damaged, check_reads=True, tolerate=2))
    expected = sorted([*(set(range(70)) - {5, 6}), 7, 7])
    assert ids == expected


def test_jpegs_that_do_not_decode_are_found_without_checksums(damaged):
    if Dataset(damaged).manifest.encoding.name == "yuv420":
        assert sorted(ids_of(damaged)) == list(range(70))  # planes of the wrong grey are still planes
    else:
        with pytest.raises(UserError, match="does not decode"):
            ids_of(damaged)
        assert 5 not in ids_of(damaged, tolerate=2)


@pytest.mark.parametrize("training", [True, False])
def test_the_reference_feed_names_what_mindspore_could_not_decode(damaged_originals, training):
    open_feed = open_train_feed if training else open_eval_feed
    feed = open_feed(damaged_originals, batch_size=35, image_size=32, feed="reference")
    with pytest.raises(UserError, match=r"row [56] \(n\d+/.*\) is damaged.*host feed.*convert verify"):
        list(feed)
    with pytest.raises(RuntimeError) as raised:
        list(feed.dataset().create_tuple_iterator(num_epochs=1))
    assert "is damaged" in str(feed.explain_error(raised.value))
    assert feed.explain_error(RuntimeError("out of memory")) is None


def test_evaluation_never_replaces_an_image(damaged_originals):
    with pytest.raises(UserError, match="does not decode"):
        list(open_eval_feed(damaged_originals, batch_size=35, image_size=32))


def test_what_was_replaced_is_remembered(damaged):
    records = Dataset(damaged)
    health = RowHealth(records, HealthPolicy(tolerate=2, check_reads=True))
    assert health.replace_damaged(np.array([4, 5, 6, 69])).tolist() == [4, 7, 7, 69]
    assert sorted(health.damaged) == [5, 6]
    assert "checksum differs" in health.damaged[5]
