"""What the revision before the regrouping (5f31631) wrote is read as it read it: datasets, a checkpoint, a run's folder.

old_house.tar.xz was made by that revision's own commands from 12 drawn pictures: a dataset in each encoding, a run of one
epoch, and in expected.json what it made of them. The large weights of the checkpoint are zeros, so that it is small.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from convert.dataset import Dataset
from convert.inspect import InspectOptions, inspect
from convert.verify import VerifyOptions, check_shard, verify
from tinydarknet.config import TrainConfig
from tinydarknet.evaluate.__main__ import EvaluateOptions, evaluate_checkpoint
from tinydarknet.feed import open_eval_feed
from tinydarknet.report.__main__ import ReportOptions, write_report
from tinydarknet.train.training import train

ENCODINGS = ("yuv420", "original", "jpeg")


@pytest.fixture(scope="module")
def old_house(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(Path(__file__).with_name("old_house.tar.xz")) as archive:
        archive.extractall(folder, filter="data")
    return folder / "old_house"


@pytest.fixture(scope="module")
def expected(old_house) -> dict:
    return json.loads((old_house / "expected.json").read_text())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_datasets_are_whole_and_told_in_words(old_house, expected, capsys, encoding):
    directory = old_house / encoding
    assert verify(VerifyOptions(directory, quick=True)) == 0
    dataset = Dataset(directory)
    assert check_shard(directory, dataset.manifest, 0, dataset.index, decode=True) == []
    assert inspect(InspectOptions(directory)) == 0
    text = capsys.readouterr().out
    assert f"logical digest {expected['digests'][encoding]}" in text
    assert "split train: 12 images of 3 classes in 1 shards" in text


def test_images_are_the_same_in_every_encoding(old_house):
    planes, original, jpeg = (Dataset(old_house / encoding) for encoding in ENCODINGS)
    for key in planes.index.column("key").to_pylist():
        stored, again = (dataset[dataset.find(key=key)] for dataset in (planes, jpeg))
        assert stored[1] == again[1] == original[original.find(key=key)][1]
        assert stored[0].shape == again[0].shape == (32, 42, 3)
        assert np.abs(stored[0].astype(int) - again[0]).mean() < 6


def test_a_batch_is_the_same_to_the_byte(old_house, expected):
    (batch,) = open_eval_feed(old_house / "yuv420", batch_size=12, image_size=32, threads=1)
    found = hashlib.sha256(b"".join(batch[name].tobytes() for name in ("y", "uv", "label", "id"))).hexdigest()
    assert found == expected["batch_sha256"]


def test_a_checkpoint_scores_the_same(old_house, expected, tmp_path):
    checkpoint = old_house / "run" / "checkpoints" / "step-000000003.ckpt"
    counts = tmp_path / "counts.json"
    evaluate_checkpoint(
        EvaluateOptions(
            val_data_path=old_house / "yuv420", checkpoint_path=checkpoint, device_target="CPU", json=counts
        )
    )
    found = json.loads(counts.read_text())
    assert {name: found[name] for name in ("top1", "top5", "total")} == {
        name: expected[name] for name in ("top1", "top5", "total")
    }


def test_a_run_has_its_page_and_goes_on(old_house, tmp_path):
    run = shutil.copytree(old_house / "run", tmp_path / "run")
    write_report(ReportOptions(runs=(run,)))
    page = (run / "report.html").read_text()
    assert "yuv420, short side at most 32 pixels" in page
    config = TrainConfig(
        data_path=old_house / "yuv420", run_dir=run, device_target="CPU", batch_size=4, image_height=32, image_width=32,
        epoch_size=2, resume=True,
    )  # fmt: skip
    assert train(config) == 0
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [event["step"] for event in events if event["event"] == "start"] == [0, 3]
    assert (run / "checkpoints" / "step-000000006.ckpt").is_file()
