"""Networks of other frameworks, trained from the feed; runs in an environment of its own: `make test-clients`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peer_loaders.torchvision_loader import import_torchvision

import_torchvision()  # for timm, which imports it


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Path:
    """The built-in sample, converted: data/sample/{train,val} in this folder, 600 and 120 images in 10 classes."""
    from convert.job.options import RunOptions
    from convert.run import run
    from convert.sample import SampleOptions, sample

    folder = tmp_path_factory.mktemp("sample")
    assert sample(SampleOptions(folder / "images")) == 0
    for split in ("train", "val"):
        assert run(RunOptions(folder / "images" / split, folder / "data" / "sample" / split, short_side=96)) == 0
    return folder


@pytest.fixture(autouse=True, scope="session")
def beside_the_data(sample):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(sample)
        yield
