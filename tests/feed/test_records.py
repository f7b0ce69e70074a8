"""Reading stored bytes: the same that MindSpore reads, and damage is told."""

import os
import shutil
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
import pytest

from convert.dataset.dataset import Records
from convert.dataset.index import INDEX_NAME
from convert.dataset.manifest import load_manifest
from convert.errors import UserError


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


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux")
def test_an_open_dataset_holds_one_file_for_each_shard(planes_dataset, tmp_path):
    own = shutil.copytree(planes_dataset, tmp_path / "own").resolve()
    records = Records(own)
    for row in range(len(records)):
        records.payload(row)
    targets = [_target(link) for link in Path("/proc/self/fd").iterdir()]
    assert sorted(target.name for target in targets if target.parent == own) == sorted(
        shard.name for shard in records.manifest.shards
    )


def _target(link: Path) -> Path:
    """Where a file descriptor leads; other threads of the process may close theirs meanwhile."""
    try:
        return link.readlink()
    except FileNotFoundError:
        return Path()


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


def test_a_shard_cut_short_after_opening_is_told_before_it_is_read(damaged):
    """Reading beyond its end would kill the process."""
    records = Records(damaged)
    rows = np.arange(len(records))
    records.check_present(rows)
    shard = damaged / records.manifest.shards[1].name
    os.truncate(shard, 4096)
    with pytest.raises(UserError, match=rf"{shard.name}: row \d+ \(n\d+/.*\) is gone, .* has 4096 now.*convert verify"):
        records.check_present(rows)
    records.check_present(rows[records._shards == 0])


def test_another_index_is_refused(damaged):
    index = damaged / INDEX_NAME
    index.write_bytes(index.read_bytes() + b" ")
    with pytest.raises(UserError, match="is not the index"):
        Records(damaged)
    index.unlink()
    with pytest.raises(UserError, match="is missing"):
        Records(damaged)
