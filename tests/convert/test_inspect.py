"""inspect describes a dataset, takes images out of it, and finds duplicates."""

from __future__ import annotations

import os
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from convert_making import make
from PIL import Image

from convert.dataset import Dataset
from convert.dataset.duplicates import _candidates, _marks, duplicate_groups
from convert.errors import UserError
from convert.image import encode
from convert.inspect import InspectOptions, inspect


def test_it_tells_what_is_there(original_dataset, capsys):
    assert inspect(InspectOptions(original_dataset)) == 0
    text = capsys.readouterr().out
    for part in (
        "split train: 70 images of 3 classes in 3 shards",
        "original",
        "tench",
        "re-encoded: CMYK",
        "short side",
        "groups of equal images: 0",
    ):
        assert part in text


def test_one_image_comes_out(tree, original_dataset, planes_dataset, tmp_path, capsys):
    key = "n01440764/n01440764_0.JPEG"
    assert inspect(InspectOptions(original_dataset, key=key, out=tmp_path / "kept.jpg")) == 0
    assert (tmp_path / "kept.jpg").read_bytes() == (tree / "train" / key).read_bytes()
    assert inspect(InspectOptions(planes_dataset, key=key)) == 0
    found = np.asarray(Image.open(tmp_path / "n01440764_0.png"))
    source = encode.decode_rgb((tree / "train" / key).read_bytes())
    wanted = source[: found.shape[0], : found.shape[1]]  # small enough: cut to even sides, not resized
    assert np.abs(found.astype(int) - wanted).mean() < 8
    assert "label 0 (n01440764 tench, Tinca tinca)" in capsys.readouterr().out


def test_ids_name_images_too(planes_dataset, tmp_path, capsys):
    assert inspect(InspectOptions(planes_dataset, row=5, out=tmp_path / "x.png")) == 0
    assert "id 5," in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong", [{"row": 70}, {"row": -1}, {"row": 10**30}, {"key": "n01440764/nowhere.JPEG"}, {"key": "\udcff"}]
)
def test_an_unknown_image_is_refused(planes_dataset, wrong):
    with pytest.raises(UserError, match="no image has the"):
        inspect(InspectOptions(planes_dataset, **wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        {"row": 1, "key": "a"},
        {"row": 1, "sheet": "x.png"},
        {"row": 1, "against": "other"},
        {"sheet": "x.png", "against": "other"},
        {"out": "x.png"},
        {"sheet": "x.txt"},
        {"row": 1, "out": "x.txt"},
        {"row": 1, "out": "folder"},
    ],
)
def test_senseless_options_are_refused(tmp_path, wrong):
    given: Any = {name: Path(value) if name in ("out", "sheet", "against") else value for name, value in wrong.items()}
    with pytest.raises(ValueError, match=r"one of row, key|row or key|must end"):
        InspectOptions(tmp_path, **given)


@pytest.mark.parametrize(
    "options", [{"row": 3, "out": "file/x.png"}, {"row": 3, "out": "d.png"}, {"sheet": "file/x.png"}]
)
@pytest.mark.parametrize("name", ["planes_dataset", "original_dataset"])
def test_files_that_cannot_be_written_are_named(request, tmp_path, name, options):
    (tmp_path / "file").touch()
    (tmp_path / "d.png").mkdir()
    given = {name: tmp_path / value if isinstance(value, str) else value for name, value in options.items()}
    with pytest.raises(UserError, match=r"cannot write .*\.png \(.*\): name another file"):
        inspect(InspectOptions(request.getfixturevalue(name), **given))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.png", "file"]


def test_a_pipe_in_a_shards_place_is_not_waited_for(planes_dataset, tmp_path):
    dataset = shutil.copytree(planes_dataset, tmp_path / "data")
    (dataset / "train.mindrecord000").unlink()
    os.mkfifo(dataset / "train.mindrecord000")
    with pytest.raises(UserError, match=r"train\.mindrecord000 is missing"):
        inspect(InspectOptions(dataset, row=3))


def test_a_contact_sheet_is_drawn(planes_dataset, tmp_path):
    assert inspect(InspectOptions(planes_dataset, sheet=tmp_path / "sheet.png")) == 0
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (3 * 188, 8 * 160, 3)  # 20 images
    assert sheet.std() > 20


@pytest.mark.parametrize("name", ["planes_dataset", "original_dataset"])
@pytest.mark.parametrize("options", [{"row": 3, "out": Path("x.png")}, {"sheet": Path("x.png")}])
def test_damage_is_named_with_what_finds_it(request, tmp_path, name, options):
    dataset = shutil.copytree(request.getfixturevalue(name), tmp_path / "data")
    opened = Dataset(dataset)
    row = opened.index.slice(3, 1).to_pylist()[0]
    shard = dataset / opened.manifest.shards[0].name
    whole = shard.read_bytes()
    middle = row["offset"] + row["length"] // 2
    shard.write_bytes(whole[:middle])
    with pytest.raises(UserError, match=r"convert verify|convert again"):
        inspect(InspectOptions(dataset, **options))
    if name == "original_dataset":
        shard.write_bytes(whole[: row["offset"]] + bytes(len(whole) - row["offset"]))
        with pytest.raises(UserError, match=r"damaged.*convert verify"):
            inspect(InspectOptions(dataset, **options))
    assert not (tmp_path / "x.png").exists()


def test_duplicates_are_found_within_and_across(tree, original_dataset, tmp_path, capsys):
    source = tmp_path / "source" / "train"
    shutil.copytree(tree / "val", source)
    (source / "n01440764" / "again.JPEG").write_bytes((source / "n01440764" / "sample_val_00000001.JPEG").read_bytes())
    shutil.copy(tree / "train" / "n01440764" / "n01440764_3.JPEG", source / "n01440764")
    other = make(tmp_path / "source", tmp_path / "other", "original")
    inspect(InspectOptions(original_dataset, against=other))
    text = capsys.readouterr().out
    assert "groups of equal images: 2" in text
    assert f"{other}/n01440764/again.JPEG, {other}/n01440764/sample_val_00000001.JPEG" in text
    assert text.count("n01440764_3.JPEG") == 2


def test_datasets_that_store_otherwise_are_not_compared(planes_dataset, original_dataset):
    with pytest.raises(UserError, match=r"stored as yuv420 \(short side at most 256\), .* as original"):
        inspect(InspectOptions(planes_dataset, against=original_dataset))


def test_a_dataset_against_itself_has_every_image_once(planes_dataset):
    assert duplicate_groups([Dataset(planes_dataset), Dataset(planes_dataset)]) == []


def test_candidates_agree_in_size_and_checksum():
    marks = [np.array([7, 5, 9, 7], np.uint64), np.array([], np.uint64), np.array([9, 1, 7], np.uint64)]
    assert list(_candidates(marks)) == [[(0, 0), (0, 3), (2, 2)], [(0, 2), (2, 0)]]


def test_duplicates_are_sought_in_memory_that_a_million_images_leave_small():
    """The search for candidates at a size where Python objects would take 500 MB."""
    rows = 1_000_000
    generator = np.random.default_rng(0)
    lengths, crcs = np.full(rows, 98_304, np.int32), generator.integers(0, 1 << 32, rows).astype(np.uint32)
    crcs[-1] = crcs[0]
    tracemalloc.start()
    found = list(_candidates([_marks(lengths, crcs)]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [(0, 0), (0, rows - 1)] in found
    assert peak < 60 * rows
