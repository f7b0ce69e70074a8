"""The compiled loops against OpenCV's own, byte by byte, and in a folder where nothing can be kept."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from feed_making import resized_by_opencv
from hypothesis import given, settings
from hypothesis import strategies as st

from tinydarknet.feed.kernels import crop_rgb, luma_means, resize_windows

ROOT = Path(__file__).resolve().parents[2]


def resized(image, windows, size, flips):
    """The kernel on windows (top, left, height, width) of image uint8 [planes, H, W]; uint8 [windows, planes, S, S]."""
    planes, height, width = image.shape
    tops, lefts, heights, widths = np.array(windows, np.int64).T
    count = len(windows)
    out = np.empty((count, planes, size, size), np.uint8)
    addresses = np.uintp(image.ctypes.data) + (tops * width + lefts).astype(np.uintp)
    resize_windows(
        addresses, np.full(count, height * width), np.full(count, width), heights, widths, np.array(flips), out
    )
    return out


def by_opencv(image, window, size, flip):
    top, left, height, width = window
    planes = [resized_by_opencv(plane[top : top + height, left : left + width], size) for plane in image]
    return np.stack(planes)[:, :, ::-1] if flip else np.stack(planes)


@st.composite
def a_window(draw, side=300):
    height, width = draw(st.integers(1, side)), draw(st.integers(1, side))
    return draw(st.integers(0, side - height)), draw(st.integers(0, side - width)), height, width


@settings(max_examples=200, deadline=None)
@given(
    windows=st.lists(a_window(), min_size=1, max_size=3), size=st.sampled_from([2, 16, 64, 112, 224]), data=st.data()
)
def test_windows_are_resized_as_opencv_does_it(windows, size, data):
    image = np.random.default_rng(size).integers(0, 256, (2, 300, 300), dtype=np.uint8)
    flips = data.draw(st.lists(st.booleans(), min_size=len(windows), max_size=len(windows)))
    out = resized(image, windows, size, flips)
    for window, flip, actual in zip(windows, flips, out, strict=True):
        np.testing.assert_array_equal(actual, by_opencv(image, window, size, flip))


@pytest.mark.parametrize("window", [(0, 0, 128, 128), (3, 5, 64, 64), (0, 0, 32, 32), (40, 7, 1, 1), (0, 0, 1, 128)])
def test_exact_factors_and_single_pixels(window):
    """Twice, the same, half, and windows that touch the image's last byte."""
    image = np.random.default_rng(0).integers(0, 256, (1, 128, 128), dtype=np.uint8)
    np.testing.assert_array_equal(resized(image, [window], 64, [False])[0], by_opencv(image, window, 64, False))


def enlarged(samples, interpolated):
    """Twice as many rows of float [H, W]: repeated, or as libjpeg does it (jdsample.c, h2v1_fancy_upsample)."""
    padded = np.pad(samples, ((1, 1), (0, 0)), mode="edge")
    others = np.stack([padded[:-2], padded[2:]], axis=1)
    rows = (3 * samples[:, None] + others) / 4 if interpolated else np.stack([samples, samples], axis=1)
    return rows.reshape(-1, samples.shape[1])


@pytest.mark.parametrize("interpolated", [False, True])
@pytest.mark.parametrize("spans", [(1, 1), (1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("box", [(0, 0, 64, 64), (2, 30, 32, 32), (32, 32, 32, 32)])
def test_the_planes_of_a_decoded_jpeg_come_back(interpolated, spans, box):
    rng, (top, left, side, _) = np.random.default_rng(0), box
    luma, (u, v) = rng.integers(110, 146, (64, 64)), rng.integers(100, 156, (2, 64 // spans[0], 64 // spans[1]))
    wide = []
    for samples in (u - 128.0, v - 128.0):
        tall = enlarged(samples, interpolated) if spans[0] == 2 else samples
        wide.append(enlarged(tall.T, interpolated).T if spans[1] == 2 else tall)
    rgb = np.stack(
        [luma + 1.402 * wide[1], luma - 0.344136 * wide[0] - 0.714136 * wide[1], luma + 1.772 * wide[0]], axis=-1
    )
    image = np.rint(rgb).astype(np.uint8)
    y, uv = np.empty((1, 1, side, side), np.uint8), np.empty((1, 2, side // 2, side // 2), np.uint8)
    crop_rgb(
        np.array([image.ctypes.data], np.uintp), np.array([image.shape[:2]]), np.array([spans]), interpolated,
        np.array([box]), np.zeros(1, bool), np.zeros(1, bool), np.zeros(1, np.int64), y, uv,
    )  # fmt: skip
    assert np.abs(luma[top : top + side, left : left + side] - y[0, 0].astype(int)).max() <= 1
    part = np.s_[top // spans[0] : (top + side) // spans[0], left // spans[1] : (left + side) // spans[1]]
    for samples, found in zip((u, v), uv[0], strict=True):
        wanted = resized_by_opencv(samples[part].astype(np.uint8), side // 2)
        assert np.abs(wanted.astype(int) - found).max() <= 2


def test_means_are_exact():
    y = np.random.default_rng(0).integers(0, 256, (5, 1, 224, 224), dtype=np.uint8)
    np.testing.assert_array_equal(luma_means(y), [plane.sum(dtype=np.int64) / 224**2 for plane in y])


def test_kernels_work_where_their_machine_code_cannot_be_kept(tmp_path):
    shutil.copytree(ROOT / "tinydarknet", tmp_path / "tinydarknet", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tinydarknet" / "feed" / "__pycache__").write_text("not a folder")
    (tmp_path / "file").write_text("not a folder either")
    program = (
        "import numpy as np, tinydarknet.feed.kernels as kernels\n"
        f"assert kernels.__file__.startswith({str(tmp_path)!r})\n"
        "print(kernels.luma_means(np.full((1, 1, 8, 8), 7, np.uint8))[0])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "file")}
    environment.pop("NUMBA_CACHE_DIR", None)
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert result.stdout == "7.0\n", result.stderr


def test_what_a_loop_calls_of_another_file_is_compiled_anew_when_that_changes(tmp_path):
    """numba's own cache looks at the caller's file alone."""
    (tmp_path / "caller.py").write_text(
        "from callee import answer\nfrom convert.image.compiled import compiled\n\n"
        "@compiled\ndef ask():\n    return answer()\n\nprint(ask())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("NUMBA_CACHE_DIR", None)
    for value in (7, 1234):
        (tmp_path / "callee.py").write_text(
            f"from convert.image.compiled import compiled\n\n@compiled\ndef answer():\n    return {value}\n"
        )
        result = subprocess.run(
            [sys.executable, "caller.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert result.stdout == f"{value}\n", result.stderr
