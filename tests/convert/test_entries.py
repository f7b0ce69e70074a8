"""Every entry of a source is a picture, rubbish by name, refused, or counted and told, whatever the packaging."""

from __future__ import annotations

import inspect
import io
import json
import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import convert_odd as odd
import convert_packed as packed
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from convert_misread import ONE, TABLE, TWO, tar_bytes

from convert.errors import UserError
from convert.sources import Source, open_source

JPEG = odd.jpeg()
CATS = {"cat/1.jpg": JPEG, "dog/1.jpg": JPEG}


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    return put(path / "split", files)


def tar_of_folders(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path / "split.tar", "w") as archive:
        for name, data in files.items():
            packed.add(archive, f"split/{name}", data)
    return path / "split.tar"


def folder_of_tars(path: Path, files: dict[str, bytes]) -> Path:
    """A class tar for each folder; what lies in none lies beside them."""
    (path / "split").mkdir()
    for above in {name.partition("/")[0] for name in files if "/" in name}:
        with tarfile.open(path / "split" / f"{above}.tar", "w") as archive:
            for name, data in files.items():
                if name.startswith(f"{above}/"):
                    packed.add(archive, name.partition("/")[2], data)
    return put(path / "split", {name: data for name, data in files.items() if "/" not in name})


Package = Callable[[Path, dict[str, bytes]], Path]
PACKAGES: list[Package] = [folder_of, tar_of_folders, folder_of_tars]


def listed(path: Path, **options) -> tuple[list[str], Source]:
    source = open_source(path, TABLE, **options)
    return source.listing().column("key").to_pylist(), source


def refused(path: Path, message: str, **options) -> None:
    with pytest.raises(UserError, match=message):
        listed(path, **options)


RUBBISH = [
    "cat/.DS_Store",
    "cat/._1.jpg",
    "dog/Thumbs.db",
    "dog/desktop.ini",
    "cat/2.jpg~",
    "cat/Icon\r",
    "cat/.2.jpg.swp",
]


@pytest.mark.parametrize("package", PACKAGES)
def test_rubbish_is_left_out_without_a_word(package, tmp_path):
    keys, source = listed(package(tmp_path, CATS | dict.fromkeys(RUBBISH, JPEG)))
    assert (keys, source.notes()) == (sorted(CATS), [])


@pytest.mark.parametrize("package", [folder_of, tar_of_folders])
@pytest.mark.parametrize(
    "name", ["__MACOSX/cat/._1.jpg", "cat/@eaDir/1.jpg/THUMB.jpg", "lost+found/1.jpg", "@Recycle/x/1.jpg"]
)
def test_folders_of_rubbish_are_no_classes(package, name, tmp_path):
    keys, source = listed(package(tmp_path, CATS | {name: JPEG}))
    assert (keys, source.notes()) == (sorted(CATS), [])


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("name", ["2.jfif", "2.JPE", "2.avif", "noext", "2.jpg?w=100", "2.jpg.1", "2.heic"])
def test_pictures_are_told_by_their_name_or_their_first_bytes(package, name, tmp_path):
    assert f"cat/{name}" in listed(package(tmp_path, CATS | {f"cat/{name}": JPEG}))[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_no_picture_is_counted_and_told_in_one_line(package, tmp_path):
    files = CATS | {"cat/notes.txt": b"x", "dog/empty": b"", "cat/movie.mp4": b"\0\0\0\x18ftypisom"}
    keys, source = listed(package(tmp_path, files))
    assert keys == sorted(CATS)
    assert len(source.notes()) == 1
    assert source.notes()[0].startswith("left out 3 files that are no images, such as ")


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize(
    "name",
    [
        *("2.jpg.part", "2.jpg.crdownload", "2.jpg.tmp", "2.jpg.aria2", "2.jpg_.gstmp", "2.jpg.downloading"),
        *(".2.jpg.Xy12Zw", ".2.jpg.~3b4", "2.jpg.6eF5b5da", "2.jpg-lftp-pget-status"),
    ],
)
def test_unfinished_downloads_are_refused(package, name, tmp_path):
    refused(package(tmp_path, CATS | {f"cat/{name}": b"half"}), "a download or a copy that was not finished")


@pytest.mark.parametrize(
    ("name", "why"), [("ox.tar.gz", "compressed"), ("ox.zip", "compressed"), ("ox.tar.aa", "a piece of")]
)
@pytest.mark.parametrize("package", PACKAGES)
def test_archives_that_cannot_be_read_in_place_are_refused(package, name, why, tmp_path):
    refused(package(tmp_path, CATS | {name: b"x"}), why)


def test_checksums_beside_archives_are_counted(tmp_path):
    files = CATS | dict.fromkeys(["cat.tar.md5", "cat.tar.sha256sum", "dog.tar.torrent", "x.tar.idx"], b"x")
    assert listed(folder_of_tars(tmp_path, files))[1].notes()[0].startswith("left out 4 files that are no images")


@pytest.mark.parametrize("name", ["split.tar", "x.parquet"])
def test_a_pointer_to_a_file_that_was_not_fetched_is_told(name, tmp_path):
    put(tmp_path, {name: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"})
    refused(tmp_path, rf"{name} is a pointer of Git LFS, not the file itself: fetch it")


def test_a_source_without_images_tells_what_it_holds(tmp_path):
    refused(put(tmp_path, {"a.arrow": b"x", "b.arrow": b"x"}), "no images .left out 2 files .* such as a.arrow.: give")


def test_a_pipe_is_no_source(tmp_path):
    os.mkfifo(tmp_path / "x.tar")
    refused(tmp_path / "x.tar", "is a pipe or a device: give a folder or a file")


def test_folders_may_be_deeper_than_the_stack(tmp_path):
    folder = folder_of(tmp_path, CATS)
    (folder / "/".join(["deep"] * 80)).mkdir(parents=True)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 70)
    try:
        refused(folder, "the class folder .*deep holds no images")
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("package", [folder_of, tar_of_folders])
@pytest.mark.parametrize("depth", ["x", "x/y", "x/y/z"])
def test_deeper_images_are_refused_at_any_depth(package, depth, tmp_path):
    refused(package(tmp_path, CATS | {f"cat/{depth}/2.jpg": JPEG}), "too deep for one split")


@pytest.mark.parametrize("package", [folder_of, tar_of_folders])
@pytest.mark.parametrize("name", ["ox/notes.txt", "ox/"])
def test_a_class_without_images_is_refused(package, name, tmp_path):
    path = package(tmp_path, CATS | ({} if name.endswith("/") else {name: b"x"}))
    if name.endswith("/") and path.is_dir():
        (path / "ox").mkdir()
    elif name.endswith("/"):
        with tarfile.open(path, "a") as archive:
            info = tarfile.TarInfo("split/ox")
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
    refused(path, "the class folder .*ox holds no images")


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize(
    "names",
    [
        ["images/1.jpg"],
        ["all/ILSVRC2012_val_00000021.JPEG"],
        ["some/val_0.JPEG", "some/val_1.JPEG"],
        ["train/1.jpg", "val/1.jpg"],
        ["train/1.jpg"],
        ["cat/1.jpg", "dog/1.jpg", "thumbnails/1.jpg"],
    ],
)
def test_folders_that_are_no_classes_are_refused(package, names, tmp_path):
    path = package(tmp_path, dict.fromkeys(names, JPEG))
    refused(path, "is no class by its name or its images")
    kind = "folder" if package is folder_of else "tar"
    assert len(listed(path, kind=kind)[0]) == len(names)  # the user insists


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("suffix", [".json", ".txt", ".CLS"])
def test_shards_of_samples_are_no_classes(package, suffix, tmp_path):
    names = [f"{shard:05d}/{name}" for shard in (0, 1) for name in ("a.jpg", f"a{suffix}")]
    files = {name: JPEG if name.endswith("jpg") else b"7" for name in names}
    if suffix == ".CLS" and package is not folder_of:  # WebDataset, whatever the case of its suffixes
        assert listed(package(tmp_path, {name.replace("1/a", "1/b"): data for name, data in files.items()}))[0]
    else:
        refused(package(tmp_path, files), "so it is a shard and no class: labels are read from .cls files")


def test_labels_behind_all_images_are_read(tmp_path):
    names = [f"{number:03}" for number in range(70)]
    with tarfile.open(tmp_path / "train-0.tar", "w") as archive:
        for name in names:
            packed.add(archive, f"{name}.jpg", JPEG)
        for name in names:
            packed.add(archive, f"{name}.cls", b"1")
    keys, source = listed(tmp_path, assumed=True)
    assert keys[0] == f"{TWO}/000.JPEG"
    assert "were taken for ImageNet's 1,000 classes" in source.notes()[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_images_of_another_class_are_refused(package, tmp_path):
    refused(package(tmp_path, {f"{ONE}/{TWO}_7.JPEG": JPEG}), f"is an image of {TWO} and not of {ONE}")
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
    files = {f"train_images_0/{wnid}_10_{wnid}.JPEG": JPEG for wnid in (ONE, TWO)}
    refused(package(tmp_path / "1", files), f"is an image of {ONE} and not of train_images_0")
    refused(package(tmp_path / "2", {f"{ONE}/ILSVRC2012_val_00000001.JPEG": JPEG}), "is an image of n01751748")


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["train-0000.tar", "train-0002.tar"], "0001"),
        (["00001.tar", "00002.tar", "00004.tar"], "00003"),
        (["shard7.tar", "shard9.tar"], "8"),
        (["train-00002.tar", "train-00003.tar"], "00001"),
        (["a-00000-of-00003.tar", "a-00002-of-00003.tar"], "00001-of-00003"),
    ],
)
def test_holes_in_numbered_parts_are_refused(names, missing, tmp_path):
    for place, name in enumerate(names):
        with tarfile.open(tmp_path / name, "w") as archive:
            packed.add(archive, f"{place}.jpg", JPEG)
            packed.add(archive, f"{place}.cls", b"1")
    refused(tmp_path, f"the first is number {missing}:")


@pytest.mark.parametrize(
    "names", [["a_2012.tar", "a_2021.tar"], ["a-1.tar", "a-2.tar"], ["a-00001-of-00002.tar", "a-00002-of-00002.tar"]]
)
def test_other_numbers_are_no_holes(names, tmp_path):
    for place, name in enumerate(names):
        with tarfile.open(tmp_path / name, "w") as archive:
            packed.add(archive, f"{place}.jpg", JPEG)
            packed.add(archive, f"{place}.cls", b"1")
    assert len(listed(tmp_path)[0]) == 2


def parquet_of(path: Path, metadata: dict[str, str] | None = None, **columns) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {"image": [{"bytes": JPEG, "path": None}], "label": [1], **columns}
    kind = pa.schema({"image": pa.struct({"bytes": pa.binary(), "path": pa.string()}), "label": pa.int64()})
    pq.write_table(pa.table(rows, kind.with_metadata(metadata)), path)
    return path


def test_parquet_files_beside_others_deeper_or_without_bytes(tmp_path):
    parquet_of(tmp_path / "repo" / "data" / "x.parquet")
    put(tmp_path / "repo", {"README.md": b"x"})
    refused(tmp_path / "repo", r"holds no images itself, but data/x.parquet: give the folder .*data$")
    parquet_of(tmp_path / "both" / "x.parquet")
    put(tmp_path / "both", {"README.md": b"x", "a.parquet.incomplete": b""})
    refused(tmp_path / "both", "not finished")
    (tmp_path / "both" / "a.parquet.incomplete").unlink()
    assert listed(tmp_path / "both")[1].notes() == ["left out 1 file that is no image, such as README.md"]
    parquet_of(tmp_path / "both" / "more" / "y.parquet")
    refused(tmp_path / "both", "in a folder of its own")
    refused(
        parquet_of(tmp_path / "z.parquet", image=[{"bytes": None, "path": "a.jpg"}]),
        "have a path, such as a.jpg, but no bytes",
    )


def test_parquet_files_whose_names_of_classes_make_no_sense(tmp_path):
    refused(parquet_of(tmp_path / "deep.parquet", {"huggingface": "[" * 100_000}), "'huggingface' .* cannot be read")
    names = json.dumps({"info": {"features": {"label": {"names": [ONE, TWO, ONE]}}}})
    refused(parquet_of(tmp_path / "twice.parquet", {"huggingface": names}), "gives two classes one wnid")


def test_pipes_and_links_into_themselves(tmp_path):
    folder = folder_of(tmp_path, CATS)
    os.mkfifo(folder / "cat" / "x.jpg")
    keys, source = listed(folder)
    assert (keys, source.notes()) == (sorted(CATS), ["left out 1 file that is no image, such as cat/x.jpg"])
    (folder / "cat" / "loop").symlink_to(folder)
    refused(folder, "leads back to a folder around it")
    (folder / "cat" / "loop").unlink()
    (folder / "cat" / "there").symlink_to(folder / "dog")
    (folder / "dog" / "back").symlink_to(folder / "cat")
    refused(folder, "(there/back|back/there) is a link that leads back to a folder around it")


def test_a_class_tar_of_several_folders_is_refused(tmp_path):
    for name, members in (("a", ("cat/1.jpg", "dog/1.jpg")), ("b", ("cat/1.jpg",))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part.tar").write_bytes(tar_bytes(*members, data=JPEG))
        refused(tmp_path / name, "so it is no archive of one class")


def test_names_in_another_unicode_form_are_the_same(tmp_path):
    decomposed = folder_of(tmp_path, {"Ba\u0308r/1.jpg": JPEG, "Elk/a\u0308.jpg": JPEG})
    assert listed(decomposed)[0] == ["B\u00e4r/1.jpg", "Elk/\u00e4.jpg"]
    assert open_source(decomposed, TABLE).listing().column("file").to_pylist()[0] == "Ba\u0308r/1.jpg"


def test_head_of_a_member_does_not_disturb_the_reading_of_the_archive(tmp_path):
    files = {f"cat/{number}": JPEG for number in range(20)} | {"dog/1.jpg": JPEG}
    path = tar_of_folders(tmp_path, files)
    assert len(listed(path)[0]) == 21
    assert io.BytesIO(open_source(path, TABLE).reader().read(path.name, 1536, 3)).read()
