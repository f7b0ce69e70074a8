"""Ground truth and tables of classes that would lose images, or give them wrong classes, without a word: refused, each in a sentence that says why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from convert_misread import ONE, TWO, keys, refused, tar_of
from scipy.io import savemat

from convert.sources.labels import KAGGLE_TRUTH_NAME, META_NAME, TRUTH_NAME


@pytest.fixture
def flat(tmp_path) -> Path:
    """Three validation images; the ground truth has to be written."""
    (tmp_path / "val").mkdir()
    for number in (1, 2, 3):
        (tmp_path / "val" / f"ILSVRC2012_val_{number:08d}.JPEG").write_bytes(b"image")
    return tmp_path / "val"


FLAT_KEYS = [
    "n01751748/ILSVRC2012_val_00000001.JPEG",
    "n02105855/ILSVRC2012_val_00000003.JPEG",
    "n09193705/ILSVRC2012_val_00000002.JPEG",
]


@pytest.mark.parametrize("text", [b"490\r\n361\r\n171\r\n\r\n", b"\xef\xbb\xbf490\n361\n171"])
def test_ground_truth_from_other_systems_is_read(flat, text):
    (flat.parent / TRUTH_NAME).write_bytes(text)
    assert keys(flat) == FLAT_KEYS


KAGGLE = b"""ImageId,PredictionString
ILSVRC2012_val_00000003,n02105855 1 2 3 4 n02105855 5 6 7 8
ILSVRC2012_val_00000001,n01751748 1 2 3 4
ILSVRC2012_val_00000002,n09193705 1 2 3 4
ILSVRC2012_val_00048981,n03995372 85 1 499 272
"""


@pytest.mark.parametrize("quote", [b"", b'"'])
@pytest.mark.parametrize("place", ["", "../../.."])
def test_kaggle_s_solution_is_a_ground_truth(flat, place, quote):
    deep = flat.parent / "ILSVRC" / "Data" / "CLS-LOC" / "val"
    deep.parent.mkdir(parents=True)
    flat.rename(deep)
    (deep.parent / place / KAGGLE_TRUTH_NAME).write_bytes(KAGGLE.replace(b",", quote + b"," + quote))
    assert keys(deep) == FLAT_KEYS


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"n01751748", b"n01440764", "val_00000001 is n01440764, but it is n01751748"),
        (b"n02105855 5", b"n01440764 5", "line 2, .* does not tell one class"),
        (b"val_00000002", b"val_00000001", "line 4, .* does not tell one class of one new image"),
        (b"val_00000002", b"val_00000004", "00000002.JPEG: .* none for it"),
    ],
)
def test_another_solution_is_refused(flat, old, new, message):
    (flat / KAGGLE_TRUTH_NAME).write_bytes(KAGGLE.replace(old, new))
    refused(flat, message)


@pytest.mark.parametrize("lines", ["65 361 171", "490 361 1", "171 490 361"])
def test_landmarks_are_checked_in_short_lists_too(flat, lines):
    (flat.parent / TRUTH_NAME).write_text("\n".join(lines.split()))
    refused(flat, "but it is n")
    assert len(keys(flat, force_labels=True)) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [("nothing.txt", "does not exist"), ("kit.tar.gz", "is no ground truth: unpack it"), ("", "holds neither")],
)
def test_a_devkit_that_is_none_is_named(flat, name, message):
    (flat.parent / "kit.tar.gz").touch()
    refused(flat, message, devkit=flat.parent / name)


def test_a_ground_truth_of_another_length_is_refused(flat):
    for count in (4, 50_001):
        (flat.parent / TRUTH_NAME).write_text("490\n" * count)
        refused(flat, f"has {count:,} lines, the last image is number 3")
        refused(
            tar_of(flat.parent / "val.tar", *(path.name for path in flat.iterdir())),
            "lines, the last image is number 3",
        )


def test_test_images_do_not_get_the_ground_truth_of_validation(flat):
    (flat.parent / TRUTH_NAME).write_text("490\n361\n171\n")
    for path in list(flat.iterdir()):
        path.rename(path.with_name(path.name.replace("val", "test")))
    refused(flat, "ILSVRC2012_test_.* has no number")


@pytest.mark.parametrize("folder", ["val", "./imagenet/val"])
def test_flat_validation_images_may_lie_in_a_folder_of_their_tar(flat, folder):
    (flat.parent / TRUTH_NAME).write_text("490\n361\n171\n")
    path = tar_of(flat.parent / "val.tar", "val/README", *(f"{folder}/{path.name}" for path in flat.iterdir()))
    assert keys(path) == FLAT_KEYS


def synsets(*rows: tuple[int, str]) -> np.ndarray:
    return np.array(list(rows), np.dtype([("ILSVRC2012_ID", "O"), ("WNID", "O")]))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.arange(3), "only integers"),
        (synsets((490, ONE), (490, TWO)), "an id twice"),
        (synsets((490, "../../x"), (361, TWO)), "a wnid that is none"),
    ],
)
def test_a_table_of_other_things_is_refused(flat, value, message):
    (flat.parent / TRUTH_NAME).write_text("490\n361\n171\n")
    savemat(flat.parent / META_NAME, {"synsets": value})
    refused(flat, rf"meta\.mat is not .*{message}")


def test_a_table_that_crashes_scipy_is_refused(flat):
    (flat.parent / TRUTH_NAME).write_text("490\n361\n171\n")
    savemat(flat.parent / META_NAME, {"synsets": synsets(*((number, f"n{number:08d}") for number in range(1, 30)))})
    data = bytearray((flat.parent / META_NAME).read_bytes())
    data[data.index(b"n00000001") - 8] = 255  # the type of that string: ends scipy 1.15 with SIGSEGV
    (flat.parent / META_NAME).write_bytes(data)
    refused(flat, r"meta\.mat is not the development kit's table")
