"""The host feed: stored JPEGs to the same planes."""

import cv2
import numpy as np
import pytest

from convert.dataset import Dataset
from tinydarknet.feed import jpeg_planes
from tinydarknet.feed.augment import Windows
from tinydarknet.feed.damage import UndecodableRowError
from tinydarknet.feed.jpeg_planes import decode_windows
from tinydarknet.feed.loader import open_eval_feed, open_train_feed


def test_evaluation_from_jpegs_and_from_planes_sees_nearly_the_same(original_dataset, planes_dataset):
    from_jpeg, from_planes = (
        list(open_eval_feed(directory, batch_size=35)) for directory in (original_dataset, planes_dataset)
    )
    assert len(from_jpeg) == len(from_planes) == 2
    for jpeg, planes in zip(from_jpeg, from_planes, strict=True):
        assert jpeg["id"].tolist() == planes["id"].tolist()
        assert jpeg["label"].tolist() == planes["label"].tolist()
        np.testing.assert_array_equal(jpeg["colour"], planes["colour"])
        for name in ("y", "uv"):
            assert np.median(np.abs(coarse(jpeg[name]) - coarse(planes[name])).mean(axis=(1, 2, 3))) < 3


def coarse(planes):
    """Means of 8x8 blocks: a window that begins a pixel beside another shows there, but not in every texture's grain."""
    count, channels, height, width = planes.shape
    return planes.reshape(count, channels, height // 8, 8, width // 8, 8).mean(axis=(3, 5))


def test_training_draws_the_same_crops_of_either_encoding(original_dataset, planes_dataset):
    train = {"batch_size": 35, "seed": 1}
    for jpeg, planes in zip(
        list(open_train_feed(original_dataset, **train)),
        list(open_train_feed(planes_dataset, **train)),
        strict=True,
    ):
        assert jpeg["id"].tolist() == planes["id"].tolist()
        # the windows are drawn in pixels of the stored image, so they differ by a pixel or two of rounding
        assert np.median(np.abs(jpeg["y"].mean(axis=(1, 2, 3)) - planes["y"].mean(axis=(1, 2, 3)))) < 3


def window(records, row, size, flip=False, smooth=False):
    height, width = int(records.heights[row]), int(records.widths[row])
    values = [np.array([v]) for v in (0, 0, height // 2 * 2, width // 2 * 2)]
    y, uv = np.zeros((1, 1, size, size), np.uint8), np.zeros((1, 2, size // 2, size // 2), np.uint8)
    decode_windows(records, np.array([row]), Windows(*values, np.array([flip]), smooth), y, uv)
    return y[0, 0], uv[0]


def test_a_flip_mirrors_luma_and_chroma(original_dataset):
    records = Dataset(original_dataset)
    plain, mirrored = window(records, 3, 64), window(records, 3, 64, flip=True)
    np.testing.assert_array_equal(plain[0][:, ::-1], mirrored[0])
    np.testing.assert_array_equal(plain[1][:, :, ::-1], mirrored[1])


@pytest.mark.parametrize("size", [32, 64, 128, 224])
def test_decoding_at_half_size_shows_the_same_picture(original_dataset, size):
    records = Dataset(original_dataset)
    for row in range(6):
        luma, _ = window(records, row, size, smooth=True)
        pixels = cv2.imdecode(records.payload(row), cv2.IMREAD_GRAYSCALE)
        height, width = (length // 2 * 2 for length in pixels.shape)
        expected = cv2.resize(pixels[:height, :width], (size, size), interpolation=cv2.INTER_AREA)
        assert np.abs(luma.astype(int) - expected).mean() < 2


def test_another_size_than_the_index_says_is_damage(original_dataset):
    records = Dataset(original_dataset)
    records.heights[3] += 8
    with pytest.raises(UndecodableRowError):
        window(records, 3, 64)


def test_without_ffmpeg_opencv_decodes_and_one_line_says_what_is_lost(original_dataset, monkeypatch, capsys):
    options = {"batch_size": 35, "image_size": 64, "seed": 1, "threads": 1}
    fast = list(open_train_feed(original_dataset, **options))
    monkeypatch.setattr(jpeg_planes, "problem", lambda: "No module named 'av'")
    jpeg_planes._has_ffmpeg.cache_clear()
    try:
        slow = list(open_train_feed(original_dataset, **options))
    finally:
        jpeg_planes._has_ffmpeg.cache_clear()
    assert capsys.readouterr().err.count("FFmpeg cannot be loaded (No module named 'av')") == 1
    assert len(fast) == len(slow) == 2
    for ours, theirs in zip(fast, slow, strict=True):
        assert ours["id"].tolist() == theirs["id"].tolist()
        assert np.abs(coarse(ours["y"]) - coarse(theirs["y"])).mean() < 1
