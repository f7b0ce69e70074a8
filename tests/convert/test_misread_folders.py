"""Folders that would lose images, or give them wrong classes, without a word: refused, each in a sentence that says why."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from unittest import mock

import convert_packed as packed
import pytest
from convert_misread import ONE, TWO, keys, refused

from convert import entries
from convert.sources import base


@pytest.fixture
def folders(tmp_path) -> Path:
    """Two class folders with an image each."""
    for wnid in (ONE, TWO):
        (tmp_path / "train" / wnid).mkdir(parents=True)
        (tmp_path / "train" / wnid / f"{wnid}_1.JPEG").write_bytes(b"image")
    return tmp_path / "train"


def test_what_systems_leave_in_folders_is_no_class_and_no_image(folders):
    for name in (".ipynb_checkpoints/a.JPEG", f"__MACOSX/{ONE}/._a.JPEG", f"{ONE}/Thumbs.db", ".DS_Store", "@eaDir/x"):
        (folders / name).parent.mkdir(parents=True, exist_ok=True)
        (folders / name).write_bytes(b"junk")
    assert keys(folders) == [f"{wnid}/{wnid}_1.JPEG" for wnid in (ONE, TWO)]


def test_images_of_every_kind_that_can_be_read_are_listed(folders):
    for suffix in ("JPG", "webp", "BMP", "gif", "tif", "tiff", "png"):
        (folders / ONE / f"a b é.{suffix}").write_bytes(b"image")
    assert len(keys(folders)) == 9


def test_linked_folders_and_files_count(folders, tmp_path):
    (tmp_path / "linked" / TWO).mkdir(parents=True)
    (tmp_path / "linked" / ONE).symlink_to(folders / ONE)
    (tmp_path / "linked" / TWO / f"{TWO}_1.JPEG").symlink_to(folders / TWO / f"{TWO}_1.JPEG")
    assert keys(tmp_path / "linked") == keys(folders)


@pytest.mark.parametrize("name", ["n01484850", f"{ONE}/x.JPEG"])
@pytest.mark.parametrize("target", ["/nowhere", "itself"])
def test_links_that_lead_nowhere_are_refused(folders, name, target):
    (folders / name).symlink_to(folders / name if target == "itself" else target)
    refused(folders, f"{name} is a link that leads nowhere")


@pytest.mark.parametrize("package", [packed.parquet, packed.webdataset])
def test_a_file_whose_link_leads_nowhere_is_refused(tree, tmp_path, package):
    """As in the cache of an interrupted download."""
    folder = package(tree / "train", tmp_path / "packed")
    some = next(folder.iterdir())
    some.unlink()
    some.symlink_to("../blobs/missing")
    refused(folder, f"{some.name} is a link that leads nowhere")


def test_a_folder_that_cannot_be_read_is_named(folders):
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == TWO:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    with mock.patch.object(entries.os, "scandir", refuse):
        refused(folders, f"cannot read .*{TWO} .Permission denied")


def test_a_class_folder_without_images_is_refused(folders):
    (folders / "n01484850").mkdir()
    refused(folders, "class folder .*n01484850 holds no images")


def test_images_deeper_than_class_folders_are_refused(folders):
    shutil.copytree(folders / ONE, folders / TWO / "more")
    refused(folders, f"{TWO}/more holds images too deep")
    refused(folders.parent, "holds images too deep")  # the folder of all splits


def test_a_folder_of_splits_is_not_taken_for_classes(tmp_path):
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG").write_bytes(b"image")
    refused(tmp_path, "val holds ILSVRC2012_val_00000001.JPEG, so it is a split and not a class")


def test_a_file_too_large_to_be_an_image_is_refused(folders):
    with (folders / ONE / "x.JPEG").open("wb") as stream:
        stream.truncate(base.IMAGE_BYTES_MAX + 1)  # takes no space
    refused(folders, f"{ONE}/x.JPEG in .* has 536,870,913 bytes")
