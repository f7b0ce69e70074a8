"""verify finds every kind of damage; inspect describes what is there."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import signal
import zlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import convert.verify
from convert.dataset import Dataset
from convert.dataset.manifest import _seal, load_manifest
from convert.durable_files import sha256_file
from convert.errors import UserError
from convert.inspect import InspectOptions, inspect
from convert.verify import VerifyOptions, _shard_faults, check_shard, verify


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


def test_a_shard_is_checked_by_its_own_rows_of_the_index_only(planes_dataset, monkeypatch):
    sent = []
    real = ProcessPoolExecutor.submit

    def submit(self, *task):
        sent.append(len(pickle.dumps(task)))
        return real(self, *task)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", submit)
    long = "x" * 20_000  # so that what an index row brings outweighs the rest
    opened = Dataset(planes_dataset)
    keys = pa.array([key.as_py() + long for key in opened.index.column("key")])
    index = opened.index.set_column(opened.index.schema.get_field_index("key"), "key", keys)
    _shard_faults(VerifyOptions(planes_dataset, workers=2), opened.manifest, index)
    assert len(sent) == 3
    assert max(sent) < 30 * len(long)  # of 70 rows, 24 are in the largest shard


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_is_told_in_one_sentence(planes_dataset, monkeypatch):
    monkeypatch.setattr(convert.verify, "check_shard", die)
    with pytest.raises(
        UserError, match=r"the worker process \d+ was killed.*; was memory .* short\? Say fewer --workers"
    ):
        verify(VerifyOptions(planes_dataset, workers=2))


def test_shards_that_cannot_be_read_are_faults(dataset):
    manifest = load_manifest(dataset)
    rows = Dataset(dataset).index.slice(0, manifest.shards[0].rows)
    (dataset / "train.mindrecord000").unlink()
    (dataset / "train.mindrecord000").mkdir()  # an error of reading that root meets too
    assert check_shard(dataset, manifest, 0, rows, decode=False) == [
        "train.mindrecord000 or its .db cannot be read (Is a directory)"
    ]


@pytest.mark.parametrize("name", ["index.parquet", "manifest.json"])
def test_descriptions_that_cannot_be_read_are_named(dataset, monkeypatch, name):
    real = Path.open

    def broken(path, *arguments, **options):
        if path.name == name:
            raise OSError(errno.EIO, "Input/output error")
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", broken)
    assert f"cannot read {dataset / name} (Input/output error)" in faults(dataset)


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


def test_what_systems_leave_is_no_fault_and_what_is_foreign_no_damage(dataset, capsys):
    for name in (".DS_Store", "._manifest.json", "Thumbs.db"):
        (dataset / name).write_bytes(b"left")
    assert verify(VerifyOptions(dataset, quick=True)) == 0
    (dataset / "notes.txt").write_bytes(b"mine")
    assert faults(dataset, quick=True).endswith(
        "is whole, but notes.txt does not belong to the dataset: move it elsewhere"
    )


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
    edit_manifest(dataset, edit)
    assert str(dataset) in faults(dataset, quick=True)


def edit_manifest(dataset, edit, seal=False):
    path = dataset / "manifest.json"
    fields = json.loads(path.read_text())
    edit(fields)
    path.write_text(json.dumps(fields | ({"manifest_sha256": _seal(fields)} if seal else {})))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda fields: fields.update(rows=70.0), "rows must be of type int, got 70.0"),
        (lambda fields: fields.update(seed="0"), "seed must be of type int, got '0'"),
        (lambda fields: fields.update(classes={}), "classes must be of type list, got {}"),
        (lambda fields: fields.update(versions=None), "versions must be of type dict, got None"),
        (lambda fields: fields["versions"].update(numpy={}), r"versions\.numpy must be of type str, got {}"),
        (lambda fields: fields["classes"][1].update(name=None), r"classes\[1\]\.name must be of type str, got None"),
        (lambda fields: fields["classes"][1].update(fields["classes"][0]), "a class is listed twice"),
        (lambda fields: fields["shards"][1].update(fields["shards"][0]), "a shard is listed twice|add up"),
        (lambda fields: fields["shards"][0].update(data_bytes="9"), r"shards\[0\]\.data_bytes must be of type int"),
        (lambda fields: fields["shards"][0].update(rows=-5), "rows of train.mindrecord000 must be at least 1, got -5"),
        (lambda fields: fields["shards"][0].update(data_sha256=5), "data_sha256 must be of type str"),
        (lambda fields: fields["shards"][0].update(name="a\0b"), "a shard's name must be a plain file name"),
        (lambda fields: fields["shards"][0].update(name="x" * 400), "a shard's name must be a plain file name"),
        (lambda fields: fields["shards"][0].update(name="\ud800"), "a shard's name must be a plain file name"),
        (lambda fields: fields["shards"][0].update(more=1), "'more' is no field of it"),
        (lambda fields: fields["layout"].update(page_bytes=-1), "page_bytes at least 1"),
        (lambda fields: fields["encoding"].pop("quality"), r"encoding\.quality is missing"),
        (lambda fields: fields["encoding"].update(name=[]), r"encoding\.name must be of type str, got \[\]"),
    ],
)
def test_a_manifest_with_impossible_values_is_damaged_even_if_it_is_sealed(dataset, edit, message):
    edit_manifest(dataset, edit, seal=True)
    with pytest.raises(UserError, match=rf"manifest.json is damaged \(.*{message}.*\): restore it"):
        load_manifest(dataset)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"format_version":' + "[" * 900 + "]" * 900 + "}",
        "9" * 5000,
        "\ud800",
        "[]",
        "null",
        '{"rows": NaN}',
    ],
)
def test_a_manifest_that_is_no_manifest_is_told_in_a_short_sentence(dataset, text):
    (dataset / "manifest.json").write_text(text, errors="surrogatepass")
    assert len(faults(dataset).replace(str(dataset), "")) < 300


def replace_index(dataset, change):
    """Change the index, and everything that tells of it."""
    path = dataset / "index.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    edit_manifest(dataset, lambda fields: fields.update(index_sha256=sha256_file(path)), seal=True)


def with_value(name, value):
    def change(table):
        values = [value, *table.column(name).to_pylist()[1:]]
        place = table.schema.get_field_index(name)
        return table.set_column(place, table.schema.field(name), pa.array(values, table.schema.field(name).type))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop_columns(["key"]), "other columns than id, key"),
        (lambda table: table.append_column("more", table.column("id")), "other columns than id, key"),
        (with_value("offset", None), "rows without offset"),
        (with_value("label", 3), r"label runs from 0 to 3, must be in \[0, 3\)"),
        (with_value("shard", -1), "shard runs from -1 to"),
        (with_value("offset", -1), "offset runs from -1 to"),
        (with_value("length", -1), "length runs from -1 to"),
        (with_value("width", 0), "width runs from 0 to"),
    ],
)
def test_an_index_with_impossible_values_is_refused_even_if_every_hash_agrees(dataset, change, message):
    replace_index(dataset, change)
    assert load_manifest(dataset)
    for command in (lambda: verify(VerifyOptions(dataset)), lambda: inspect(InspectOptions(dataset))):
        with pytest.raises(UserError, match=message):
            command()


def test_an_index_that_is_no_parquet_is_refused_even_if_its_hash_agrees(dataset):
    (dataset / "index.parquet").write_bytes(b"hello")
    edit_manifest(dataset, lambda fields: fields.update(index_sha256=sha256_file(dataset / "index.parquet")), seal=True)
    assert "index.parquet is no Parquet file" in faults(dataset)


def test_a_dataset_that_may_not_be_looked_into_is_told(dataset, monkeypatch):
    real = Path.stat

    def stat(path, **options):
        if path.is_relative_to(dataset):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    assert f"cannot look into {dataset} (Permission denied)" in faults(dataset)


def test_a_field_that_nothing_else_depends_on_is_sealed_too(dataset):
    path = dataset / "manifest.json"
    path.write_text(path.read_text().replace("tench", "trout"))
    assert "manifest.json has been edited" in faults(dataset, quick=True)


def test_five_hundred_flipped_bits(planes_dataset, tmp_path):
    """Each in a random place of a shard or its .db; found from the hash, and by name where an image is hit."""
    manifest = load_manifest(planes_dataset)
    rows = Dataset(planes_dataset).index.slice(0, manifest.shards[0].rows)
    shard = manifest.shards[0].name
    for name in (shard, shard + ".db"):
        shutil.copy(planes_dataset / name, tmp_path / name)
    generator = np.random.default_rng(7)
    spans = list(zip(*(rows.column(name).to_pylist() for name in ("offset", "length", "key")), strict=True))
    for turn in range(500):
        path = tmp_path / (shard if turn % 5 else shard + ".db")
        position = int(generator.integers(path.stat().st_size))
        hit = [key for offset, length, key in spans if path.name == shard and offset <= position < offset + length]
        with path.open("r+b") as stream:
            stream.seek(position)
            byte = stream.read(1)[0]
            stream.seek(position)
            stream.write(bytes([byte ^ 1 << int(generator.integers(8))]))
            stream.flush()
            found = check_shard(tmp_path, manifest, 0, rows, decode=False)
            stream.seek(position)
            stream.write(bytes([byte]))
        assert any(path.name in fault for fault in found)
        assert all(any(key in fault for fault in found) for key in hit)
    assert check_shard(tmp_path, manifest, 0, rows, decode=False) == []


def test_images_that_do_not_decode_are_found(dataset):
    """Even where every checksum agrees, because somebody has made them agree."""
    manifest = load_manifest(dataset)
    rows = Dataset(dataset).index.slice(0, manifest.shards[0].rows)
    row = rows.slice(3, 1).to_pylist()[0]
    with (dataset / manifest.shards[0].name).open("r+b") as stream:
        stream.seek(row["offset"] + row["length"] // 2)
        stream.write(b"\xff\xd9")
        stream.seek(row["offset"])
        crc32 = zlib.crc32(stream.read(row["length"]))
    crcs = rows.column("crc32").to_pylist()
    crcs[3] = crc32
    rows = rows.set_column(rows.schema.get_field_index("crc32"), "crc32", pa.array(crcs, pa.uint32()))
    assert f"the image {row['key']} does not decode" in " ".join(check_shard(dataset, manifest, 0, rows, decode=True))


@pytest.mark.parametrize(
    "command", [lambda path: verify(VerifyOptions(path)), lambda path: inspect(InspectOptions(path))]
)
def test_what_is_no_dataset_is_refused(tmp_path, command):
    with pytest.raises(UserError, match="does not exist"):
        command(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no manifest"):
        command(tmp_path)
    (tmp_path / "1.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="but images or folders: convert them into another folder"):
        command(tmp_path)
    (tmp_path / "manifest.json").write_bytes(b"")
    with pytest.raises(UserError, match=rf"is a file, and a dataset is a folder: name {tmp_path}$"):
        command(tmp_path / "manifest.json")
