"""Peers: what is not installed, or does not run, is listed with its reason; what is installed runs for real."""

import json
import sys
import sysconfig
import tarfile
from pathlib import Path

import psutil
import pytest
from test_benchmarks import results_of, run

from benchmarks.peer_loaders.catalogue import PEERS
from benchmarks.peer_loaders.install import OUTCOME_NAME, last_error
from benchmarks.peer_loaders.protocol import EPOCH_IMAGES_MIN, Request, long_list

PEERS_VENV = Path(__file__).resolve().parents[2] / ".venv-peers"
SMALL = ("--batch-size", 8, "--image-size", 32, "--seconds", 0.1, "--repeats", 1)


@pytest.fixture
def bare_environment(tmp_path) -> Path:
    """An environment in which one peer could not be installed, and another is not whole."""
    folder = tmp_path / "peers"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n")
    packages = Path(sysconfig.get_path("purelib", "posix_prefix", {"base": str(folder)}))
    packages.mkdir(parents=True)
    (packages / "psutil").symlink_to(Path(psutil.__file__).parent)  # the clock's, which is installed beside every peer
    reasons = {"ffcv": "RuntimeError: Could not find required package: opencv.", "spdl-io": ""}
    (folder / OUTCOME_NAME).write_text(json.dumps(reasons))
    return folder


def test_this_projects_feeds_run_beside_peers_that_do_not(tree, bare_environment, tmp_path):
    options = ("--source", tree / "train", "--environment", bare_environment, "--feeds", "planes", "reference")
    results = results_of("peers", *options, "--peers", "ffcv-raw", "spdl", *SMALL, cwd=tmp_path)
    by_name = {result["loader"]: result for result in results}
    assert {name for name, result in by_name.items() if result["ours"]} == {"planes", "reference"}
    assert by_name["planes"]["images_per_core_s"] > 0
    assert "planes" in by_name["planes"]["gives"]
    assert by_name["ffcv-raw"]["not_run"] == "not installed: RuntimeError: Could not find required package: opencv."
    assert by_name["spdl"]["not_run"].startswith("installed, does not run: ModuleNotFoundError: No module named 'spdl'")


@pytest.mark.slow
@pytest.mark.skipif(not (PEERS_VENV / OUTCOME_NAME).is_file(), reason="make bench-peers has not been run here")
def test_an_installed_peer_is_measured(tree, tmp_path):
    options = ("--source", tree / "train", "--environment", PEERS_VENV, "--feeds", "planes", "--peers", "torchvision")
    results = results_of("peers", *options, *SMALL, cwd=tmp_path)
    (peer,) = (result for result in results if not result["ours"])
    assert peer["gives"] == "uint8 [B, 3, S, S]"
    assert peer["images_per_core_s"] > 0


def test_without_an_environment_the_command_is_told(tree, tmp_path):
    done = run("peers", "--source", tree / "train", "--environment", tmp_path, *SMALL)
    assert done.returncode == 1
    assert "'make bench-peers' installs them" in done.stderr
    assert "Traceback" not in done.stderr


def test_pips_telling_line_is_kept():
    output = """\
      RuntimeError: Could not find required package: opencv.
      [end of output]
    note: This error originates from a subprocess, and is likely not a problem with pip.
    error: metadata-generation-failed
    hint: See above for details.
    """
    assert last_error(output) == "RuntimeError: Could not find required package: opencv."
    assert last_error("ERROR: No matching distribution found for ffcv>=1.0.2\n") == (
        "ERROR: No matching distribution found for ffcv>=1.0.2"
    )
    assert last_error("killed\n") == "killed"
    assert last_error("") == "pip failed without a word"


@pytest.mark.parametrize("name", list(PEERS))
def test_every_peer_says_what_it_reads_and_gives(name):
    loader = PEERS[name].loader()
    assert loader.reads
    assert "[B, " in loader.gives


def test_webdataset_gets_every_image_with_its_class(tree, tmp_path):
    images = tuple(sorted((tree / "train").glob("*/*")))
    PEERS["webdataset"].loader().prepare(Request(images, tmp_path, 8, 32, 1))
    with tarfile.open(tmp_path / "images.tar") as tar:
        entries = {entry.name: tar.extractfile(entry).read() for entry in tar}
    assert len(entries) == 2 * len(images)
    assert entries["000000.jpg"] == images[0].read_bytes()
    assert entries[f"{len(images) - 1:06d}.cls"] == b"2"


def test_few_images_make_a_long_epoch():
    images = tuple(Path(f"{number}.jpg") for number in range(7))
    listed = long_list(images)
    assert len(listed) >= EPOCH_IMAGES_MIN
    assert set(listed) == set(images)
