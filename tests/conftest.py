"""Sources and datasets that several tests share; made once per session, never changed by a test."""

from __future__ import annotations

from pathlib import Path

import pytest
from convert_making import make
from hypothesis import HealthCheck, settings

from convert.sample import SampleOptions, sample

REAL_IMAGES = Path(__file__).resolve().parents[2] / "shared" / "imagenet-sample"

# the same examples on every machine, however slow it is
settings.register_profile(
    "suite", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def tree(tmp_path_factory) -> Path:
    """A sample of 70 training and 14 validation images in 3 classes, odd ones among them."""
    folder = tmp_path_factory.mktemp("tree") / "sample"
    assert sample(SampleOptions(folder, classes=3, images=70)) == 0
    return folder


@pytest.fixture(scope="session")
def planes_dataset(tree, tmp_path_factory) -> Path:
    return make(tree, tmp_path_factory.mktemp("planes") / "data")


@pytest.fixture(scope="session")
def original_dataset(tree, tmp_path_factory) -> Path:
    return make(tree, tmp_path_factory.mktemp("original") / "data", "original")


@pytest.fixture(scope="session")
def real_images() -> Path:
    if not REAL_IMAGES.is_dir():
        pytest.skip("the real images are not at hand")
    return REAL_IMAGES


@pytest.fixture(autouse=True)
def junk_stays_here(tmp_path, monkeypatch):
    """MindSpore writes files into the working folder."""
    monkeypatch.chdir(tmp_path)
