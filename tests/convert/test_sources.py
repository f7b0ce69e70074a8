"""Every packaging is recognised and gives the same images with the same labels; other numberings are refused."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import convert_packed as packed
import numpy as np
import pytest
from convert_making import make
from scipy.io import savemat

from convert.dataset.classes import load_imagenet1k
from convert.dataset.manifest import load_manifest
from convert.errors import UserError
from convert.job.conversion import convert_split
from convert.run import RunOptions, run
from convert.sources import open_source, recognise
from convert.sources.base import image_key
from convert.sources.labels import TRUTH_NAME, find_truth

TABLE = load_imagenet1k()


def contents(source):
    reader = source.reader()
    return {
        row["key"]: (row["wnid"], reader.read(row["file"], row["offset"], row["length"]))
        for row in source.listing().to_pylist()
    }


@pytest.mark.parametrize("package", packed.PACKAGINGS)
def test_packagings_hold_the_same(tree, tmp_path, package):
    folders = open_source(tree / "train", TABLE)
    packed = open_source(package(tree / "train", tmp_path / "packed"), TABLE)
    assert folders.listing().column("key").to_pylist() == packed.listing().column("key").to_pylist()
    assert contents(folders) == contents(packed)


@pytest.mark.parametrize("package", [packed.tar_of_tars, packed.webdataset, packed.parquet])
def test_packagings_have_the_same_digest(tree, original_dataset, tmp_path, package):
    output = tmp_path / "out"
    options = RunOptions(package(tree / "train", tmp_path / "packed"), output, "original", shard_rows=25, workers=2)
    assert run(options) == 0
    assert load_manifest(output).logical_digest == load_manifest(original_dataset).logical_digest


@pytest.mark.parametrize("package", [packed.webdataset, packed.parquet])
def test_a_folder_of_several_splits_is_asked_which(tree, tmp_path, package):
    """As Hugging Face has them: train-00000-of-00002.parquet, validation-..., test-... in one folder."""
    folder = packed.all_splits(package, tree, tmp_path / "data")
    with pytest.raises(UserError, match=r"several splits, train \(2 files\), val \(2 files\): say --split"):
        open_source(folder, TABLE).listing()
    with pytest.raises(UserError, match="several splits"):
        open_source(folder, TABLE, split="test").listing()
    # the sample's validation pictures carry the names of ImageNet's, whose classes are known
    for split, said in (("train", "train"), ("val", "val"), ("val", "validation")):
        keys = open_source(folder, TABLE, force_labels=True, split=said).listing().column("key")
        assert keys.equals(open_source(tree / split, TABLE).listing().column("key"))


@pytest.mark.parametrize(
    ("package", "kind"),
    [(packed.tar_of_tars, "tar"), (packed.webdataset, "webdataset"), (packed.parquet, "parquet")],
)
def test_packagings_are_recognised(tree, tmp_path, package, kind):
    assert recognise(package(tree / "train", tmp_path / "packed")) == kind
    assert recognise(tree / "train") == "folder"


@pytest.mark.parametrize("extra", ["n01443537.tar", "n01443537.parquet", "preview.PNG"])
def test_a_folder_of_several_packagings_is_refused(tree, tmp_path, extra):
    source = shutil.copytree(tree / "train", tmp_path / "train")
    with tarfile.open(source / extra, "w") as archive:
        packed.add(archive, "n01443537_1.JPEG", b"an image")
    with pytest.raises(UserError, match=f"holds .*{extra}.* say --source .*folder") as caught:
        open_source(source, TABLE)
    assert "move away" in str(caught.value)
    assert open_source(source, TABLE, "folder").listing().num_rows == 70
    if extra.endswith("tar"):
        assert open_source(source, TABLE, "tar").listing().num_rows == 1


def test_what_is_no_image_does_not_hide_a_packaging(tree, tmp_path):
    """As downloads leave it: a cache, a README, the development kit."""
    folder = packed.parquet(tree / "train", tmp_path / "packed")
    (folder / ".cache").mkdir()
    (folder / ".preview.jpg").touch()
    (folder / "README.md").touch()
    (folder / "devkit" / "data").mkdir(parents=True)
    assert recognise(folder) == "parquet"


@pytest.mark.parametrize("package", [packed.class_tars, packed.webdataset, packed.parquet])
def test_suffixes_in_capitals_are_the_same(tree, tmp_path, package):
    folder = package(tree / "train", tmp_path / "packed")
    for path in list(folder.iterdir()):
        path.rename(path.with_suffix(path.suffix.upper()))
    assert contents(open_source(folder, TABLE)) == contents(open_source(tree / "train", TABLE))


@pytest.fixture
def flat(tree, tmp_path) -> Path:
    """The sample's validation images in one folder, with their ground truth in devkit ids beside it."""
    folder = tmp_path / "flat" / "val"
    folder.mkdir(parents=True)
    images = sorted((tree / "val").glob("*/*"), key=lambda path: path.name)
    for path in images:
        (folder / path.name).write_bytes(path.read_bytes())
    lines = [f"{packed.DEVKIT_ID[path.parent.name]}\n" for path in images]
    (folder.parent / TRUTH_NAME).write_text("".join(lines))
    return folder


def test_flat_validation_images_get_their_classes(tree, flat, tmp_path):
    wanted = contents(open_source(tree / "val", TABLE))
    assert contents(open_source(flat, TABLE)) == wanted
    with tarfile.open(tmp_path / "flat" / "ILSVRC2012_img_val.tar", "w") as archive:
        for path in sorted(flat.iterdir()):
            archive.add(path, path.name)
    assert contents(open_source(tmp_path / "flat" / "ILSVRC2012_img_val.tar", TABLE)) == wanted


def test_a_tar_of_the_folder_itself_is_the_same(tree, flat, tmp_path):
    """`tar cf val.tar -C val .` puts ./ before every name."""
    with tarfile.open(tmp_path / "flat" / "val.tar", "w") as archive:
        archive.add(flat, ".")
    assert contents(open_source(tmp_path / "flat" / "val.tar", TABLE)) == contents(open_source(tree / "val", TABLE))
    with tarfile.open(tmp_path / "train.tar", "w") as archive:
        archive.add(tree / "train", ".")
    assert contents(open_source(tmp_path / "train.tar", TABLE)) == contents(open_source(tree / "train", TABLE))


def test_meta_mat_of_the_devkit_is_read(tree, flat, tmp_path):
    data = tmp_path / "ILSVRC2012_devkit_t12" / "data"
    data.mkdir(parents=True)
    (flat.parent / TRUTH_NAME).rename(data / TRUTH_NAME)
    with pytest.raises(UserError, match="say --devkit"):
        open_source(flat, TABLE)
    kind = np.dtype([("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")])
    rows = [(entry.devkit_id, entry.wnid, entry.name) for entry in TABLE] + [(1001, "n00001740", "entity")]
    savemat(data / "meta.mat", {"synsets": np.array(rows, kind)})
    wanted = contents(open_source(tree / "val", TABLE))
    assert contents(open_source(flat, TABLE, devkit=tmp_path)) == wanted
    (data / "meta.mat").write_bytes(b"rubbish")
    with pytest.raises(UserError, match=r"meta\.mat is not"):
        open_source(flat, TABLE, devkit=data)


def test_ground_truth_in_another_numbering_is_refused(flat):
    truth = flat.parent / TRUTH_NAME
    by_wnid = [packed.LABEL_OF[entry.wnid] for entry in sorted(TABLE, key=lambda entry: entry.devkit_id)]
    devkit = [int(line) for line in truth.read_text().split()]
    labels = [by_wnid[number - 1] for number in devkit]
    truth.write_text("".join(f"{label}\n" for label in labels))
    with pytest.raises(UserError, match="no id of the development kit"):
        open_source(flat, TABLE)
    whole = (labels * 50_000)[:50_000]
    truth.write_text("".join(f"{label + 1}\n" for label in whole))
    with pytest.raises(UserError, match=r"00000001 is n\d+, but it is n01751748"):
        open_source(flat, TABLE).listing()
    open_source(flat, TABLE, force_labels=True).listing()


def test_real_validation_images(real_images):
    source = open_source(real_images / "val", TABLE)
    keys = set(source.listing().column("key").to_pylist())
    assert len(keys) == 100
    truth = source.truth  # type: ignore[attr-defined]
    assert truth.wnid_of("ILSVRC2012_val_00000293.JPEG") == TABLE[0].wnid == "n01440764"
    assert truth.wnid_of("ILSVRC2012_val_00000001.JPEG") == TABLE[65].wnid == "n01751748"


@pytest.mark.parametrize("package", [packed.webdataset, packed.parquet])
def test_devkit_labels_are_refused(tree, tmp_path, package):
    devkit_order = {wnid: number - 1 for wnid, number in packed.DEVKIT_ID.items()}
    path = package(tree / "train", tmp_path / "packed", devkit_order)
    with pytest.raises(UserError, match="numbers its classes in the development kit's order"):
        open_source(path, TABLE).listing()
    assert open_source(path, TABLE, force_labels=True).listing().num_rows == 70


@pytest.mark.parametrize("package", [packed.webdataset, packed.parquet])
def test_missing_labels_are_refused(tree, tmp_path, package):
    path = package(tree / "train", tmp_path / "packed", dict.fromkeys(packed.LABEL_OF, -1))
    with pytest.raises(UserError, match="has the label -1"):
        open_source(path, TABLE).listing()


@pytest.mark.slow
def test_real_images_have_one_digest_in_all_packagings(real_images, tmp_path):
    """As ImageNet comes: training images five ways, flat validation images with the devkit two ways."""

    def digest(source: Path, name: str, **options) -> str:
        outcome = convert_split(RunOptions(source, tmp_path / name, "original", check="scan", **options))
        return outcome.manifest.logical_digest

    options = {"classes": "imagenet1k"}
    train = {digest(real_images / "train", "folders", **options)}
    for package in packed.PACKAGINGS:
        source = package(real_images / "train", tmp_path / f"packed-{package.__name__}")
        train.add(digest(source, package.__name__, **options))
    assert len(train) == 1
    truth = read_truth(real_images)
    with tarfile.open(tmp_path / "ILSVRC2012_img_val.tar", "w") as archive:
        for path in sorted((real_images / "val").iterdir()):
            archive.add(path, path.name)
            folder = tmp_path / "val" / truth.wnid_of(path.name)
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder)
    val = {
        digest(real_images / "val", "flat", **options),
        digest(tmp_path / "ILSVRC2012_img_val.tar", "flat-tar", devkit=real_images, **options),
    }
    for package in (None, *packed.PACKAGINGS):
        source = (
            tmp_path / "val" if package is None else package(tmp_path / "val", tmp_path / f"val-{package.__name__}")
        )
        val.add(digest(source, f"val-out-{source.name}", split="val", **options))
    assert len(val) == 1


def read_truth(folder: Path):
    return find_truth(folder / "val", folder, TABLE, force=False)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("n01440764_10026.JPEG", "n01440764/n01440764_10026.JPEG"),
        ("n01440764_10026_n01440764.JPEG", "n01440764/n01440764_10026.JPEG"),
        ("train/n01440764/n01440764_10026.JPEG", "n01440764/n01440764_10026.JPEG"),
        ("a.b.png", "n01440764/a.b.png"),
    ],
)
def test_keys(name, key):
    assert image_key("n01440764", name) == key


def test_override(tree, tmp_path):
    with pytest.raises(UserError, match="holds no images"):
        make(tree, tmp_path / "out", source_kind="webdataset")
