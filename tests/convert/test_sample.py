"""The sample: the same for the same seed, shaped like ImageNet, with its odd files."""

from __future__ import annotations

import filecmp

import numpy as np
import pytest

from convert.errors import UserError
from convert.image import encode
from convert.image.encoding import ORIGINAL_QUALITY, Encoding
from convert.sample import SampleOptions, sample

ORIGINAL = Encoding("original", 0, ORIGINAL_QUALITY)


def test_counts_and_names(tree):
    train, val = (sorted((tree / split).glob("*/*.JPEG")) for split in ("train", "val"))
    assert (len(train), len(val)) == (70, 14)
    assert len({path.parent.name for path in train}) == len({path.parent.name for path in val}) == 3
    assert np.mean([path.stat().st_size for path in train]) == pytest.approx(110_000, rel=0.3)


def test_odd_files_are_among_them(tree):
    reasons = {encode.encode(path.read_bytes(), ORIGINAL).reason for path in (tree / "train").glob("*/*")}
    assert reasons == {"", "CMYK", "PNG file", "EXIF orientation 6", "progressive"}
    assert any(encode.decode_rgb(path.read_bytes())[..., 0].std() > 0 for path in (tree / "train").glob("*/*"))


def test_same_seed_same_bytes(tree, tmp_path):
    assert sample(SampleOptions(tmp_path / "again", classes=3, images=70)) == 0
    names = [path.relative_to(tree) for path in tree.glob("*/*/*")]
    assert filecmp.cmpfiles(tree, tmp_path / "again", map(str, names), shallow=False)[1:] == ([], [])


def test_mean_colour_says_nothing_about_the_class(tmp_path):
    """The nearest class mean of the mean colour is right hardly more often than chance (1 in 10)."""
    assert sample(SampleOptions(tmp_path / "sample", images=100)) == 0
    colours = np.array(
        [
            [*encode.decode_rgb(path.read_bytes()).mean((0, 1)), int(path.stem.split("_")[1]) % 10]
            for path in (tmp_path / "sample" / "train").glob("*/*")
        ]
    )
    means = np.array([colours[colours[:, 3] == label, :3].mean(0) for label in range(10)])
    guessed = np.argmin(((colours[:, None, :3] - means) ** 2).sum(2), axis=1)
    assert (guessed == colours[:, 3]).mean() < 0.45  # each picture is part of its own class's mean


def test_an_existing_folder_is_refused(tree):
    with pytest.raises(UserError, match="name a new one"):
        sample(SampleOptions(tree))


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write images into .*file/x \(Not a directory\): make room"):
        sample(SampleOptions(tmp_path / "file" / "x"))


@pytest.mark.parametrize("wrong", [{"classes": 0}, {"classes": 1001}, {"images": 3}, {"seed": -1}])
def test_bad_options_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SampleOptions(tmp_path, **wrong)
