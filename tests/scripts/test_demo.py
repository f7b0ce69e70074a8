"""The demo, whole: what a newcomer sees first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convert.errors import UserError
from scripts.demo import TRAIN_IMAGES, VAL_IMAGES, link_part

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_demo_goes_from_pictures_to_an_exported_network(tmp_path):
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "demo.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (run,) = tmp_path.glob("runs/demo-*")
    assert (run / "run" / "checkpoints" / "best.ckpt").is_file()
    assert {"tinydarknet.onnx", "tinydarknet.mindir"} <= {path.name for path in (run / "export").iterdir()}
    assert done.stdout.splitlines()[-1].startswith("together")


def photographs(folder: Path, classes: dict[str, int]) -> Path:
    for wnid, images in classes.items():
        (folder / "train" / wnid).mkdir(parents=True)
        for number in range(images):
            (folder / "train" / wnid / f"{wnid}_{number:04d}.JPEG").write_bytes(b"a picture")
    return folder


def test_a_small_part_of_the_photographs_is_linked_and_no_image_is_in_both_splits(tmp_path):
    source = photographs(tmp_path / "imagenet", {f"n0000000{k}": 130 for k in range(9)} | {"n1": 30, "n2": 40, "n3": 3})
    said = link_part(source, tmp_path / "images")
    linked = {split: sorted((tmp_path / "images" / split).glob("*/*")) for split in ("train", "val")}
    assert {path.parent.name for path in linked["train"]} == {f"n0000000{k}" for k in range(9)} | {"n1"}
    assert len(linked["train"]) == 9 * TRAIN_IMAGES + 30 - VAL_IMAGES
    assert len(linked["val"]) == 10 * VAL_IMAGES
    assert not {path.name for path in linked["train"]} & {path.name for path in linked["val"]}
    assert all(path.read_bytes() == b"a picture" for path in linked["val"])
    assert said == "910 to train on and 200 others of 10 classes"


def test_photographs_that_are_not_there_are_missed_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="has fewer than two class folders of at least 21 images"):
        link_part(photographs(tmp_path, {"n00000001": 130, "n00000002": 20}), tmp_path / "images")
