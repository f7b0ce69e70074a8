"""Class folders to a dataset: contents, determinism, and what is refused."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from convert_making import make, same_files
from PIL import Image

from convert.dataset import Dataset
from convert.dataset.classes import load_imagenet1k
from convert.dataset.index import INDEX_NAME, INDEX_SCHEMA
from convert.dataset.manifest import STAGING_NAME, load_manifest
from convert.errors import UserError
from convert.image import encode, planes
from convert.job.conversion import convert_split
from convert.job.staging import _PATH_BYTES_MAX
from convert.run import RunOptions, run
from convert.verify import VerifyOptions, verify


def rows_of(dataset):
    manifest = load_manifest(dataset)
    rows = Dataset(dataset).index.to_pylist()
    for row in rows:
        with (dataset / manifest.shards[row["shard"]].name).open("rb") as stream:
            stream.seek(row["offset"])
            row["payload"] = stream.read(row["length"])
    return rows


def test_all_images_are_there_with_their_labels(tree, planes_dataset):
    manifest = load_manifest(planes_dataset)
    files = {f"{path.parent.name}/{path.name}": path for path in (tree / "train").glob("*/*")}
    rows = rows_of(planes_dataset)
    assert [row["id"] for row in rows] == list(range(70)) == list(range(manifest.rows))
    assert {row["key"] for row in rows} == set(files)
    assert [shard.rows for shard in manifest.shards] == [23, 23, 24]
    for row in rows:
        assert manifest.classes[row["label"]].wnid == row["key"].split("/")[0]
        assert row["source_bytes"] == files[row["key"]].stat().st_size
        assert row["payload"] == encode.encode(files[row["key"]].read_bytes(), manifest.encoding).data
        assert len(row["payload"]) == planes.planes_bytes(row["height"], row["width"])
    assert pq.read_schema(planes_dataset / INDEX_NAME).equals(INDEX_SCHEMA)
    assert not (planes_dataset / STAGING_NAME).exists()


def test_original_keeps_the_bytes(tree, original_dataset):
    rows = rows_of(original_dataset)
    kept = [row for row in rows if row["action"] == "kept"]
    assert len(kept) == 66
    for row in kept:
        assert row["payload"] == (tree / "train" / row["key"]).read_bytes()
    assert sorted(row["reason"] for row in rows if row["action"] != "kept") == [
        "CMYK",
        "EXIF orientation 6",
        "PNG file",
        "progressive",
    ]


def test_mind_dataset_reads_the_same(planes_dataset):
    import mindspore.dataset as ds

    rows = {row["id"]: row for row in rows_of(planes_dataset)}
    files = [str(planes_dataset / shard.name) for shard in load_manifest(planes_dataset).shards]
    read: Any = ds.MindDataset(files, shuffle=False, num_parallel_workers=1).create_dict_iterator(
        num_epochs=1, output_numpy=True
    )
    seen = []
    for found in read:
        row = rows[int(found["id"])]
        assert found["image"].tobytes()[: row["length"]] == row["payload"]
        assert [int(found[name]) for name in ("label", "height", "width")] == [
            row[name] for name in ("label", "height", "width")
        ]
        seen.append(row["id"])
    assert seen == list(range(70))


def test_bytes_do_not_depend_on_the_workers(tree, planes_dataset, tmp_path):
    assert same_files(planes_dataset, make(tree, tmp_path / "data", workers=1))


def test_another_seed_is_another_order_of_the_same_images(tree, planes_dataset, tmp_path):
    other = make(tree, tmp_path / "data", seed=1)
    one, two = load_manifest(planes_dataset), load_manifest(other)
    assert one.logical_digest == two.logical_digest
    assert one.index_sha256 != two.index_sha256


def test_files_are_readable_by_others(planes_dataset):
    assert {path.stat().st_mode & 0o777 for path in planes_dataset.iterdir()} == {0o644}


def test_a_subset_keeps_its_labels(tree, tmp_path):
    dataset = make(tree, tmp_path / "data", "original", classes="imagenet1k")
    labels = {entry.wnid: label for label, entry in enumerate(load_imagenet1k())}
    assert len(load_manifest(dataset).classes) == 1000
    assert all(row["label"] == labels[row["key"].split("/")[0]] for row in rows_of(dataset))


def test_finished_output_is_left_alone(tree, planes_dataset, capsys):
    make(tree, planes_dataset)
    assert "is finished: 70 images in 3 shards" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"finished dataset with other settings \(encoding was"):
        make(tree, planes_dataset, "original")


def test_finished_output_with_other_classes_is_refused(tree, planes_dataset, tmp_path, capsys):
    with pytest.raises(UserError, match="its 3 classes are not the 1,000 of imagenet1k"):
        make(tree, planes_dataset, classes="imagenet1k")
    table = tmp_path / "table.tsv"
    wnids = [entry.wnid for entry in load_manifest(planes_dataset).classes]
    names = [entry.name for entry in load_manifest(planes_dataset).classes]
    table.write_text("wnid\tname\n" + "".join(f"{wnid}\t{name}\n" for wnid, name in zip(wnids, names, strict=True)))
    make(tree, planes_dataset, classes=str(table))
    assert f"{tree / 'train'} was not looked at" in capsys.readouterr().out
    table.write_text("wnid\n" + "".join(f"{wnid}\n" for wnid in wnids[1:]))
    with pytest.raises(UserError, match="its 3 classes are not the 2 of"):
        make(tree, planes_dataset, classes=str(table))


def test_what_a_run_left_that_was_killed_while_it_published_is_cleared_away(tree, planes_dataset, tmp_path):
    output = shutil.copytree(planes_dataset, tmp_path / "out")
    (output / ".index.4711.tmp.parquet").write_bytes(b"half an index")
    assert verify(VerifyOptions(output, quick=True)) == 0  # a hidden file is no damage
    assert same_files(make(tree, output), planes_dataset)


def test_output_with_other_files_is_refused(tree, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="neither empty nor a conversion begun earlier"):
        make(tree, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        make(tree, tmp_path / "file")


def test_output_in_its_source_is_refused(tree):
    for output in (tree / "train" / "out", tree / "train" / "n01440764" / "x"):
        with pytest.raises(UserError, match=r"lies in the source .*train, which is to hold one split and nothing else"):
            run(RunOptions(tree / "train", output))
        assert not output.exists()


def test_missing_and_empty_sources_are_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        run(RunOptions(tmp_path / "nowhere", tmp_path / "out"))
    (tmp_path / "source" / "n01440764").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no images"):
        run(RunOptions(tmp_path / "source", tmp_path / "out"))
    (tmp_path / "source" / "n01440764" / "notes.txt").touch()
    with pytest.raises(UserError, match="holds no images"):
        run(RunOptions(tmp_path / "source", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_image_stops_the_run_by_name(tree, tmp_path):
    shutil.copytree(tree / "train", tmp_path / "source")
    bad = next((tmp_path / "source" / "n01440764").iterdir())
    bad.write_text("not a picture")
    with pytest.raises(UserError, match=f"{bad.name}.* cannot be converted: not an image"):
        run(RunOptions(tmp_path / "source", tmp_path / "out", workers=1))
    with pytest.raises(UserError, match="unfinished conversion"):
        load_manifest(tmp_path / "out")


def test_staged_work_with_other_settings_is_refused(tree, tmp_path):
    output = tmp_path / "out"
    make(tree, output)
    staging = output / STAGING_NAME
    staging.mkdir()
    (output / "manifest.json").unlink()
    (staging / "plan.json").write_text(json.dumps({"seed": 9}))
    with pytest.raises(UserError, match="seed was 9, now 0"):
        make(tree, output)


def test_capitals_and_suffixes(tmp_path):
    folder = tmp_path / "source" / "n01440764"
    folder.mkdir(parents=True)
    for name in ("a.JPEG", "b.jpg", "c.JPG", "d.png", ".hidden.jpg", "e.txt"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / name, "JPEG")
    outcome = convert_split(RunOptions(tmp_path / "source", tmp_path / "out", workers=1))
    assert outcome.images == outcome.manifest.rows == 5  # e.txt is a JPEG by its first bytes
    assert verify(VerifyOptions(tmp_path / "out")) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"workers": 0},
        {"short_side": 1},
        {"quality": 0},
        {"quality": 101, "encoding": "jpeg"},
        {"seed": -1},
        {"split": "a/b"},
    ],
)
def test_bad_options_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RunOptions(tmp_path, tmp_path, **wrong)


def test_a_path_longer_than_mindrecord_can_work_in_is_refused_before_anything_is_made(tree, tmp_path):
    for output, message in (
        (tmp_path / ("x" * 200) / ("y" * 200), "longer than"),
        (tmp_path / ("x" * 300), "too long"),
    ):
        with pytest.raises(UserError, match=message):
            run(RunOptions(tree / "train", output))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file is a file: name a folder"):
        run(RunOptions(tree / "train", tmp_path / "file" / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_longest_path_that_is_taken_can_be_worked_in(tree, tmp_path):
    output = tmp_path / ("x" * 100)
    output /= "y" * (_PATH_BYTES_MAX - len(bytes(output)) - 1)
    assert len(bytes(output)) == _PATH_BYTES_MAX
    make(tree, output)
    assert verify(VerifyOptions(output)) == 0


@pytest.mark.parametrize(
    ("encoding", "side", "noted"),
    [("yuv420", 32, True), ("jpeg", 32, True), ("original", 32, False), ("yuv420", 64, False)],
)
def test_half_the_colour_of_small_images_is_told(tmp_path, capsys, encoding, side, noted):
    folder = tmp_path / "source" / "n01440764"
    folder.mkdir(parents=True)
    Image.new("RGB", (side, side), (200, 40, 90)).save(folder / "a.png")
    run(RunOptions(tmp_path / "source", tmp_path / "out", encoding, workers=1))
    assert ("keep their colour at 16" in capsys.readouterr().out) is noted
