"""Reading stored bytes: the same that MindSpore reads, and damage is told."""

import shutil

import mindspore.dataset as ds
import numpy as np
import pytest

from convert.errors import UserError
from convert.index import INDEX_NAME
from convert.manifest import load_manifest
from tinydarknet.feed.records import Records


@pytest.mark.parametrize("dataset", ["planes_dataset", "original_dataset"])
def test_the_bytes_equal_what_mindspore_reads(dataset, request):
    directory = request.getfixturevalue(dataset)
    records = Records(directory)
    files = [str(directory / shard.name) for shard in records.manifest.shards]
    seen = set()
    for row in ds.MindDataset(files, shuffle=False).create_dict_iterator(num_epochs=1, output_numpy=True):
        image_id = int(row["id"])
        seen.add(image_id)
        assert row["image"].tobytes() == records.payload(image_id).tobytes()
        assert int(row["label"]) == records.labels[image_id]
        assert (int(row["height"]), int(row["width"])) == (records.heights[image_id], records.widths[image_id])
        assert records.is_intact(image_id)
    assert seen == set(range(len(records)))


def test_payloads_are_views_that_cannot_be_written(planes_dataset):
    payload = Records(planes_dataset).payload(0)
    with pytest.raises(ValueError, match="read-only"):
        payload[0] = 1


def test_asking_for_pages_ahead_changes_nothing(planes_dataset):
    records = Records(planes_dataset)
    before = records.payload(3).tobytes()
    records.will_need(np.arange(len(records)))
    assert records.payload(3).tobytes() == before


@pytest.fixture
def damaged(planes_dataset, tmp_path):
    return shutil.copytree(planes_dataset, tmp_path / "damaged")


def test_a_missing_a_short_and_an_empty_shard_are_told(damaged):
    shard = damaged / load_manifest(damaged).shards[0].name
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    with pytest.raises(UserError, match=f"{shard.name} has {len(whole) - 1} bytes, the manifest says {len(whole)}"):
        Records(damaged)
    shard.write_bytes(b"")
    with pytest.raises(UserError, match=f"{shard.name} is empty"):
        Records(damaged)
    shard.unlink()
    with pytest.raises(UserError, match=f"{shard.name} is missing"):
        Records(damaged)


def test_another_index_is_refused(damaged):
    index = damaged / INDEX_NAME
    index.write_bytes(index.read_bytes() + b" ")
    with pytest.raises(UserError, match="is not the index"):
        Records(damaged)
    index.unlink()
    with pytest.raises(UserError, match="is missing"):
        Records(damaged)
