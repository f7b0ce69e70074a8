"""Hostile, damaged and ambiguous sources are refused, each in a sentence that names the file and the member or row."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from pathlib import Path

import convert_odd as odd
import convert_packed as packed
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from convert.dataset.classes import load_imagenet1k
from convert.errors import UserError
from convert.run import RunOptions, run
from convert.sources import open_source, recognise
from convert.sources.tars import members

TABLE = load_imagenet1k()


def hostile(path: Path, name: str, kind: bytes = tarfile.REGTYPE, claimed: int | None = None) -> Path:
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo(name)
        info.type = kind
        info.linkname = "/etc/passwd"
        archive.addfile(info, io.BytesIO())
    if claimed is not None:
        data = bytearray(path.read_bytes())
        data[124:136] = f"{claimed:011o}\0".encode()
        data[148:156] = b" " * 8
        data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
        path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "kind", "claimed", "message"),
    [
        ("/etc/cron.d/x.JPEG", tarfile.REGTYPE, None, "leads out"),
        ("n01440764/../../x.JPEG", tarfile.REGTYPE, None, "leads out"),
        ("n01440764/x.JPEG", tarfile.SYMTYPE, None, "not a plain file"),
        ("n01440764/x.JPEG", tarfile.LNKTYPE, None, "not a plain file"),
        ("n01440764/x.JPEG", tarfile.CHRTYPE, None, "not a plain file"),
        ("n01440764/x.JPEG", tarfile.FIFOTYPE, None, "not a plain file"),
        ("n01440764/x.JPEG", tarfile.REGTYPE, 1 << 30, "claims 1,073,741,824 bytes"),
    ],
)
def test_hostile_members_are_refused_by_name(tmp_path, name, kind, claimed, message):
    path = hostile(tmp_path / "train.tar", name, kind, claimed)
    with pytest.raises(UserError, match=message) as caught:
        run(RunOptions(path, tmp_path / "out"))
    assert repr(name) in str(caught.value)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["train.tar"]


def test_hostile_members_of_inner_archives_are_refused_too(tmp_path):
    inner = hostile(tmp_path / "n01440764.tar", "../../x.JPEG")
    with tarfile.open(tmp_path / "train.tar", "w") as archive:
        archive.add(inner, inner.name)
    inner.unlink()
    with pytest.raises(UserError, match="leads out") as caught:
        run(RunOptions(tmp_path / "train.tar", tmp_path / "out"))
    assert "n01440764.tar" in str(caught.value)
    assert [found.name for found in tmp_path.iterdir()] == ["train.tar"]


def test_an_inner_archive_that_reaches_beyond_the_outer_one_is_refused(tree, tmp_path):
    """A lying size of the class tar would have images read from what follows it."""
    path = packed.tar_of_tars(tree / "train", tmp_path / "packed")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="more than there are; truncated"):
        open_source(path, TABLE).listing()


@pytest.mark.parametrize("package", [packed.class_tars, packed.tar_of_tars, packed.webdataset, packed.parquet])
def test_a_gigapixel_image_in_a_package_is_left_out_by_name(tree, tmp_path, package):
    source = shutil.copytree(tree / "train", tmp_path / "source" / "train")
    (source / "n01440764" / "n01440764_0.JPEG").write_bytes(odd.BAD["gigapixels"][0]())
    with pytest.raises(UserError, match=r"n01440764/n01440764_0\.JPEG.*60000x50000 pixels"):
        run(RunOptions(package(source, tmp_path / "packed"), tmp_path / "out", workers=2))


def test_a_damaged_archive_does_not_end_early(tree, tmp_path):
    path = packed.tar_of_folders(tree / "train", tmp_path / "packed")
    assert sum(1 for _ in members(path)) == 74  # with folders
    data = bytearray(path.read_bytes())
    with tarfile.open(path) as archive:
        middle = archive.getmembers()[40].offset
    data[middle + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"damaged at byte {middle:,}"):
        list(members(path))
    path.write_bytes(data[: middle - 1000])
    with pytest.raises(UserError, match=r"truncated|damaged"):
        list(members(path))


def test_compressed_and_unknown_files_are_refused(tree, tmp_path):
    (tmp_path / "train.tar").write_bytes(b"\x1f\x8b" + bytes(2000))
    with pytest.raises(UserError, match="compressed archives must be unpacked"):
        recognise(tmp_path / "train.tar")
    (tmp_path / "train.bin").touch()
    with pytest.raises(UserError, match=r"neither a \.tar nor a \.parquet"):
        recognise(tmp_path / "train.bin")
    (tmp_path / "x.parquet").write_bytes(b"no")
    with pytest.raises(UserError, match="not a Parquet file"):
        open_source(tmp_path / "x.parquet", TABLE).listing()


@pytest.mark.parametrize(
    ("names", "second"),
    [
        (("a.cls", "a.jpg", "a.seg.png"), "a.seg.png"),
        (("b.jpg", "b.cls", "c.jpg", "c.cls", "b.jpg", "b.cls"), "b.jpg"),
        (("b.cls", "b.jpg", "b.cls"), "b.cls"),
    ],
)
def test_a_webdataset_sample_with_two_of_a_kind_is_refused(tmp_path, names, second):
    with tarfile.open(tmp_path / "train-0000.tar", "w") as archive:
        for name in names:
            packed.add(archive, name, b"7")
    with pytest.raises(
        UserError, match=rf"the sample {second[0]} in .*train-0000\.tar has two .* the second is {second}"
    ):
        open_source(tmp_path, TABLE).listing()


@pytest.mark.parametrize("name", [b"n01440764/\xe9t\xe9.JPEG", b"n\xe9/a.JPEG"])
def test_a_name_that_is_not_utf8_is_refused_by_name(tmp_path, name):
    path = Path(os.fsdecode(os.fsencode(tmp_path / "train") + b"/" + name))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"image")
    with pytest.raises(UserError, match=r"udce9.* is not UTF-8: rename") as caught:
        open_source(tmp_path / "train", TABLE).listing()
    str(caught.value).encode()  # can be printed


def image_rows(**columns):
    rows = {"image": [{"bytes": b"image", "path": f"a_{row}.JPEG"} for row in range(3)], "label": [0, 1, 2]}
    return pa.table({**rows, **columns})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": ["tench", "goldfish", "shark"]}, "the column label of .*x.parquet is of type string"),
        ({"label": [0.0, 1.0, 2.0]}, "the column label of .*x.parquet is of type double"),
        ({"label": [0, 1, None]}, "row 2 of .*x.parquet has no label"),
        ({"image": [{"bytes": "text", "path": "a"}] * 3}, "the column image.bytes of .*x.parquet is of type string"),
        ({"image": [{"bytes": b"", "path": 7}] * 3}, "the column image.path of .*x.parquet is of type int64"),
    ],
)
def test_parquet_columns_of_other_kinds_are_refused(tmp_path, columns, message):
    pq.write_table(image_rows(**columns), tmp_path / "x.parquet", row_group_size=2)
    with pytest.raises(UserError, match=message):
        open_source(tmp_path / "x.parquet", TABLE).listing()


@pytest.mark.parametrize("text", [b"{nonsense", b"[1]", b'{"info": {"features": {"label": {"names": [1, 2]}}}}'])
def test_classes_in_metadata_that_cannot_be_read_are_refused(tmp_path, text):
    pq.write_table(image_rows().replace_schema_metadata({b"huggingface": text}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"the metadata 'huggingface' of .*x\.parquet"):
        open_source(tmp_path / "x.parquet", TABLE).listing()


def test_a_damaged_row_group_is_named(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(image_rows(), path, row_group_size=2, use_dictionary=False, compression="zstd")
    start = pq.ParquetFile(path).metadata.row_group(1).column(2).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 20] = b"\xff" * 20
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"row group 1 of .*x\.parquet cannot be read"):
        open_source(path, TABLE).listing()


def test_two_images_with_one_key_are_refused(tree, tmp_path):
    folder = packed.webdataset(tree / "train", tmp_path / "packed")
    (folder / "imagenet1k-train-0002.tar").write_bytes((folder / "imagenet1k-train-0000.tar").read_bytes())
    with pytest.raises(UserError, match="two images that are both called"):
        open_source(folder, TABLE).listing()


def test_a_source_that_changes_under_the_run_is_noticed(tree, tmp_path):
    source = open_source(tree / "train", TABLE)
    row = source.listing().to_pylist()[0]
    with pytest.raises(UserError, match="ends 5 bytes early"):
        source.reader().read(row["file"], 0, row["length"] + 5)
    with pytest.raises(UserError, match="cannot read"):
        source.reader().read("nowhere.JPEG", 0, 1)
