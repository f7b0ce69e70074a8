"""One small dataset in two encodings and one finished run, made once and shared."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from processes import shorten_network
from train_making import IMAGES_PER_CLASS, WNIDS, convert, tiny_config, write_images


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("train")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MindSpore drops files into the current folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def images(share) -> Path:
    return share("images", lambda folder: write_images(folder, WNIDS, IMAGES_PER_CLASS))


@pytest.fixture(scope="session")
def planes_data(share, images: Path) -> Path:
    return share("planes", lambda folder: convert(images, folder / "data", "--short-side", "36")) / "data"


@pytest.fixture(scope="session")
def original_data(share, images: Path) -> Path:
    return share("original", lambda folder: convert(images, folder / "data", "--encoding", "original")) / "data"


@pytest.fixture(scope="session")
def finished_run(share, planes_data: Path) -> Path:
    """An uninterrupted run with evaluation after each epoch."""

    def finish(folder: Path) -> None:
        from tinydarknet.train.training import train

        config = tiny_config(planes_data, folder / "run", val_data_path=planes_data)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            shorten_network(patch)
            with (folder / "run.out").open("w") as out, contextlib.redirect_stdout(out):
                assert train(config) == 0

    return share("finished", finish) / "run"
