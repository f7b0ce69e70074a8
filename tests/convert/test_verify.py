"""verify finds every kind of damage; inspect describes what is there."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from convert.errors import UserError
from convert.inspect import InspectOptions, inspect
from convert.verify import VerifyOptions, verify


@pytest.fixture
def dataset(original_dataset, tmp_path):
    return shutil.copytree(original_dataset, tmp_path / "data")


def faults(dataset, quick=False):
    with pytest.raises(UserError) as caught:
        verify(VerifyOptions(dataset, quick, workers=2))
    return str(caught.value)


def flip(path, bit):
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


@pytest.mark.parametrize("quick", [True, False])
def test_a_whole_dataset_passes(original_dataset, quick, capsys):
    assert verify(VerifyOptions(original_dataset, quick, workers=2)) == 0
    assert "is whole: 70 images in 3 shards" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["train.mindrecord001", "train.mindrecord001.db", "index.parquet", "manifest.json"])
def test_flipped_bits_are_found(dataset, name):
    pristine = (dataset / name).read_bytes()
    generator = np.random.default_rng(1)
    used = len(pristine) if name != "train.mindrecord001" else 1 << 20
    for bit in generator.integers(0, 8 * used, 3):
        flip(dataset / name, int(bit))
        assert name.removesuffix(".json") in faults(dataset) or "logical_digest" in faults(dataset)
        (dataset / name).write_bytes(pristine)


@pytest.mark.parametrize("quick", [True, False])
def test_missing_extra_truncated_and_renamed_files_are_found(dataset, quick):
    (dataset / "train.mindrecord000").rename(dataset / "train.mindrecord009")
    (dataset / "train.mindrecord001.db").unlink()
    shard = dataset / "train.mindrecord002"
    shard.write_bytes(shard.read_bytes()[:-1])
    message = faults(dataset, quick)
    for part in (
        "train.mindrecord000 is missing",
        "train.mindrecord009 does not belong",
        "train.mindrecord001.db is missing",
        "train.mindrecord002 has",
    ):
        assert part in message


def test_swapped_shards_are_found(dataset):
    for suffix in ("", ".db"):
        one, two = (dataset / f"train.mindrecord00{index}{suffix}" for index in (0, 1))
        one.rename(dataset / "x")
        two.rename(one)
        (dataset / "x").rename(two)
    assert "train.mindrecord000" in faults(dataset)


@pytest.mark.parametrize(
    "edit",
    [
        lambda fields: fields.update(rows=69),
        lambda fields: fields.update(payload_bytes=1),
        lambda fields: fields.update(source_bytes=1),
        lambda fields: fields.update(logical_digest="0" * 64),
        lambda fields: fields.update(index_sha256="0" * 64),
        lambda fields: fields.update(format_version=99),
        lambda fields: fields["shards"][0].update(rows=25, name="x"),
        lambda fields: fields["shards"][0].update(name="../x"),
        lambda fields: fields["classes"].pop(),
        lambda fields: fields["encoding"].update(name="gif"),
        lambda fields: fields.pop("seed"),
    ],
)
def test_an_edited_manifest_is_found(dataset, edit):
    path = dataset / "manifest.json"
    fields = json.loads(path.read_text())
    edit(fields)
    path.write_text(json.dumps(fields))
    assert str(dataset) in faults(dataset, quick=True)


def test_inspect_tells_what_is_there(original_dataset, capsys):
    assert inspect(InspectOptions(original_dataset)) == 0
    text = capsys.readouterr().out
    for part in (
        "split train: 70 images of 3 classes in 3 shards",
        "original",
        "tench",
        "re-encoded: CMYK",
        "short side",
    ):
        assert part in text


@pytest.mark.parametrize(
    "command", [lambda path: verify(VerifyOptions(path)), lambda path: inspect(InspectOptions(path))]
)
def test_what_is_no_dataset_is_refused(tmp_path, command):
    with pytest.raises(UserError, match="does not exist"):
        command(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no manifest"):
        command(tmp_path)
