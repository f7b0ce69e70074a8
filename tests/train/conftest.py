"""One small dataset in two encodings and one finished run, made once and shared."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from train_making import IMAGES_PER_CLASS, WNIDS, convert, tiny_config, write_images


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("train")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MindSpore drops files into the current folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def images(work: Path) -> Path:
    return write_images(work / "images", WNIDS, IMAGES_PER_CLASS)


@pytest.fixture(scope="session")
def planes_data(work: Path, images: Path) -> Path:
    return convert(images, work / "planes", "--short-side", "36")


@pytest.fixture(scope="session")
def original_data(work: Path, images: Path) -> Path:
    return convert(images, work / "original", "--encoding", "original")


@pytest.fixture(scope="session")
def finished_run(work: Path, planes_data: Path) -> Path:
    """An uninterrupted run with evaluation after each epoch."""
    from tinydarknet.train.training import train

    config = tiny_config(planes_data, work / "run", val_data_path=planes_data)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        with (work / "run.out").open("w") as out, contextlib.redirect_stdout(out):
            assert train(config) == 0
    return work / "run"
