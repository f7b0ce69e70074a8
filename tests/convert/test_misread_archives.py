"""Tars, WebDataset and Parquet that would lose images, or give them wrong classes, without a word: refused, each in a sentence that says why."""

from __future__ import annotations

import gzip
import json
import os
import tarfile

import convert_packed as packed
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from convert_misread import ONE, TABLE, TWO, keys, refused, tar_bytes, tar_of

from convert.errors import UserError
from convert.sources import open_source, recognise
from convert.sources.tars import members


def test_what_macos_packs_beside_files_is_left_out(tmp_path):
    one = tar_bytes("._a.JPEG", "a.JPEG")
    with tarfile.open(tmp_path / "train.tar", "w") as archive:
        packed.add(archive, f"._{ONE}.tar", b"junk" * 500)
        packed.add(archive, f"{ONE}.tar", one)
    assert keys(tmp_path / "train.tar") == [f"{ONE}/a.JPEG"]
    path = tar_of(tmp_path / "folders.tar", f"train/{ONE}/a.JPEG", "train/.ipynb_checkpoints/a.JPEG", "./._train")
    assert keys(path) == [f"{ONE}/a.JPEG"]
    path = tar_of(tmp_path / "train-0.tar", "._a.jpg", "a.jpg", "._a.cls", "a.cls", data=b"1")
    assert keys(path) == [f"{TWO}/a.JPEG"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((f"train/{ONE}/a.JPEG", f"val/{ONE}/b.JPEG"), f"class {ONE} twice, in train/{ONE} and val/{ONE}"),
        ((f"{ONE}/images/a.JPEG", f"{TWO}/images/a.JPEG"), f"{ONE}/images holds images too deep"),
        (("cats/a.JPEG", "cats/more/b.JPEG"), "cats/more holds images too deep"),
        (("cats/more/b.JPEG", "cats/a.JPEG"), "cats/more holds images too deep"),
        ((f"{ONE}/a.JPEG", "b.JPEG"), "nothing tells the class of b.JPEG"),
        ((f"{ONE}/a\0b.JPEG",), "it is refused"),
    ],
)
def test_a_tar_of_more_than_class_folders_is_refused(tmp_path, names, message):
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            info = tarfile.TarInfo("x")
            info.pax_headers = {"path": name}
            archive.addfile(info)
    refused(tmp_path / "x.tar", message)


def test_a_class_that_is_compressed_or_empty_is_not_lost(tmp_path):
    one = tar_bytes("a.JPEG")
    for name, data, message in (
        (f"{TWO}.tar.gz", gzip.compress(one), r"n01443537\.tar\.gz.* is compressed"),
        (f"{TWO}.tar", gzip.compress(one), r"n01443537\.tar in .* compressed"),
        (f"{TWO}.tar", bytes(10_240), r"n01443537\.tar.* holds no images of its class"),
        (f"{TWO}.tar", b"", r"n01443537\.tar.* has no end mark"),
    ):
        with tarfile.open(tmp_path / "train.tar", "w") as archive:
            packed.add(archive, f"{ONE}.tar", one)
            packed.add(archive, name, data)
        refused(tmp_path / "train.tar", message)
        folder = tmp_path / f"of-{len(data)}-{name}"
        folder.mkdir()
        (folder / f"{ONE}.tar").write_bytes(one)
        (folder / name).write_bytes(data)
        refused(folder, TWO, kind="tar")


@pytest.mark.parametrize("name", ["train.tar.gz", "train.tgz", "train-0000.tar.zst"])
def test_compressed_sources_are_told_to_be(tmp_path, name):
    (tmp_path / name).touch()
    for path in (tmp_path, tmp_path / name):
        refused(path, f"{name} is compressed")


def test_the_folder_of_the_downloads_is_refused(tmp_path):
    with tarfile.open(tmp_path / "ILSVRC2012_img_train.tar", "w") as archive:
        packed.add(archive, f"{ONE}.tar", tar_bytes("a.JPEG"))
    tar_of(tmp_path / "ILSVRC2012_img_val.tar", "ILSVRC2012_val_00000001.JPEG")
    (tmp_path / "ILSVRC2012_devkit_t12.tar.gz").touch()
    refused(tmp_path, "img_train.tar holds no images of its class.* is given itself, not its folder")
    (tmp_path / "ILSVRC2012_img_train.tar").unlink()
    refused(
        tmp_path,
        "img_val holds ILSVRC2012_val_00000001.JPEG, so it is a split and not a class: give that folder or archive itself",
    )


@pytest.mark.parametrize("package", [packed.tar_of_tars, packed.tar_of_folders])
def test_an_archive_cut_anywhere_is_refused(tree, tmp_path, package):
    path = package(tree / "train", tmp_path / "packed")
    whole = path.read_bytes()
    rows = len(keys(path))
    last = max(member.offset + member.length for member in members(path))
    for cut in {*range(512, last, len(whole) // 150 // 512 * 512), last - 1, last // 512 * 512}:
        os.truncate(path, cut)
        refused(path, "truncated|damaged")
        path.write_bytes(whole)
    assert len(keys(path)) == rows


def test_what_is_appended_to_an_archive_is_not_lost(tmp_path):
    (tmp_path / "train.tar").write_bytes(tar_bytes(f"{ONE}/a.JPEG") + tar_bytes(f"{ONE}/b.JPEG"))
    refused(tmp_path / "train.tar", "something was appended")


def header(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def test_headers_that_want_memory_or_stack_without_end_are_refused(tmp_path):
    with (tmp_path / "x.tar").open("wb") as stream:
        stream.write(header(tarfile.XHDTYPE, 1 << 31))
        stream.truncate(1 << 32)  # takes no space
    refused(tmp_path / "x.tar", "a header of 2,147,483,648 bytes")
    (tmp_path / "x.tar").write_bytes((header(tarfile.GNUTYPE_LONGNAME, 2) + b"y".ljust(512, b"\0")) * 3000)
    refused(tmp_path / "x.tar", "is damaged")  # of recursion, or at the end: MindSpore raises the limit of recursion


@pytest.mark.parametrize("label", [b"1_0", b"7               9", b"tench", b""])
def test_a_webdataset_label_is_a_number_and_nothing_else(tmp_path, label):
    with tarfile.open(tmp_path / "train-0.tar", "w") as archive:
        packed.add(archive, "a.jpg", b"image")
        packed.add(archive, "a.cls", label)
    refused(tmp_path / "train-0.tar", "instead of a label number")


def rows(names: list[str] | None = None) -> pa.Table:
    table = pa.table({"image": [{"bytes": b"image", "path": f"a_{row}.JPEG"} for row in range(3)], "label": [0, 1, 2]})
    text = json.dumps({"info": {"features": {"label": {"names": names or []}}}})
    return table.replace_schema_metadata({"huggingface": text})


def test_parquet_files_that_name_other_classes_are_refused(tmp_path):
    path = tmp_path / "x.parquet"
    names = [entry.name for entry in TABLE]
    pq.write_table(rows(names), path)
    assert keys(path)[0] == f"{ONE}/a_0.JPEG"
    pq.write_table(rows([entry.name for entry in sorted(TABLE, key=lambda entry: entry.devkit_id)]), path)
    refused(path, "numbers its classes in another order than the table")
    pq.write_table(rows(["tench", "English springer", "cassette player"]), path)
    refused(path, "names 3 classes, the table has 1,000")
    assert len(keys(path, force_labels=True)) == 3
    pq.write_table(rows([TWO, ONE, "n01484850"]), path)
    assert keys(path)[0] == f"{ONE}/a_1.JPEG"


def test_parquet_columns_twice_or_with_dots_are_refused(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(rows().append_column("label", pa.array([1, 1, 1])), path)
    refused(path, "no column label, or several")
    pq.write_table(pa.table({"image.bytes": [b"x"], "image.path": ["a"], "label": [1]}), path)
    refused(path, "no column image, or several")


def test_a_download_that_lacks_a_file_is_refused(tree, tmp_path):
    folder = packed.all_splits(packed.parquet, tree, tmp_path / "data")
    (folder / "train-00000-of-00002.parquet").unlink()
    refused(folder, r"lacks 1 of 2 files, the first is number 00000-of-00002", split="train")
    assert keys(folder, split="val", force_labels=True)
    assert recognise(folder) == "parquet"


def test_a_row_group_is_read_in_pieces(tmp_path):
    images = [bytes([row % 256]) * (row + 1) for row in range(500)]
    table = pa.table({"image": [{"bytes": data, "path": None} for data in images], "label": [0] * 500})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=300)
    reader = open_source(tmp_path / "x.parquet", TABLE).reader()
    for row in (499, 0, 63, 64, 299, 300, 128):
        assert reader.read("x.parquet", row, -1) == images[row]
    with pytest.raises(UserError, match="cannot read row 500"):
        reader.read("x.parquet", 500, -1)
