"""Sources and datasets that several tests share; made once per session, never changed by a test."""

from __future__ import annotations

import faulthandler
import fcntl
import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from convert_making import make
from fast_only import FastOnly
from hypothesis import HealthCheck, settings
from processes import shorten_network

from convert.sample import SampleOptions, sample

REAL_IMAGES = Path(__file__).resolve().parents[2] / "shared" / "imagenet-sample"

LONGEST = (
    ("docs", "test_readme_runs"),
    ("train", "test_training"),
    ("train",),
    ("benchmarks",),
    ("test_architecture",),
    ("convert", "test_crashes"),
    ("export",),
    ("feed",),
)
"""Folders and files whose tests take long, as parts of their paths."""

# the same examples on every machine, however slow it is
settings.register_profile(
    "suite", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="skip whatever starts MindSpore or another process")
    parser.addoption(
        "--shared", type=Path, help="a folder of shared datasets that another session has left (--basetemp)"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--fast") and config.getoption("dist", "no") == "no":  # not where workers are started
        config.pluginmanager.register(FastOnly(), "fast")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole files go to the workers in this order: the longest first, so that none is left with one at the end."""
    items.sort(key=lambda item: (_rank(item.path), item.path))  # stable


def _rank(path: Path) -> int:
    words = path.relative_to(Path(__file__).parent).with_suffix("").parts
    return next((rank for rank, beginning in enumerate(LONGEST) if words[: len(beginning)] == beginning), len(LONGEST))


def pytest_collection_finish() -> None:
    """What is imported stays: the garbage collector need not look through MindSpore's half a million objects again."""
    gc.collect()
    gc.freeze()


class Share(Protocol):
    """`share(name, make)`: the folder `name` as `make(folder)` fills it, once for all the workers of this session."""

    def __call__(self, name: str, make: Callable[[Path], object]) -> Path: ...


@pytest.fixture(scope="session")
def share(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Share:
    base = tmp_path_factory.getbasetemp()
    root = pytestconfig.getoption("--shared") or (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)

    def shared(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = root / name, root / f"{name}.done"
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return shared


@pytest.fixture(scope="session")
def tree(share) -> Path:
    """A sample of 70 training and 14 validation images in 3 classes, odd ones among them."""

    def draw(folder: Path) -> None:
        assert sample(SampleOptions(folder / "sample", classes=3, images=70)) == 0

    return share("tree", draw) / "sample"


@pytest.fixture(scope="session")
def planes_dataset(tree, share) -> Path:
    return share("planes_dataset", lambda folder: make(tree, folder / "data")) / "data"


@pytest.fixture(scope="session")
def original_dataset(tree, share) -> Path:
    return share("original_dataset", lambda folder: make(tree, folder / "data", "original")) / "data"


@pytest.fixture(scope="session")
def real_images() -> Path:
    if not REAL_IMAGES.is_dir():
        pytest.skip("the real images are not at hand")
    return REAL_IMAGES


@pytest.fixture(scope="module")
def short_network() -> Iterator[None]:
    """Tiny-DarkNet has 4 layers, here and in the processes that the tests start."""
    with pytest.MonkeyPatch.context() as patch:
        shorten_network(patch)
        yield


@pytest.fixture
def must_not_hang():
    """End the process, with every thread's stack, where a test waits for threads that are not Python's for minutes."""
    faulthandler.dump_traceback_later(300, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def junk_stays_here(tmp_path, monkeypatch):
    """MindSpore writes files into the working folder."""
    monkeypatch.chdir(tmp_path)
