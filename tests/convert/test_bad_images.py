"""Images that cannot be decoded: stop, leave out, or set aside, within a budget."""

from __future__ import annotations

import shutil

import convert_odd as odd
import pytest
from convert_making import make, same_files

from convert.dataset import Dataset
from convert.dataset.manifest import QUARANTINE_NAME, STAGING_NAME, load_manifest
from convert.errors import UserError
from convert.job import conversion, shard
from convert.verify import VerifyOptions, verify

BAD = {
    "n01440764/a_1.JPEG": (odd.BAD["cut before the scan"][0], "ends before its pixels begin"),
    "n01440764/a_2.JPEG": (odd.BAD["text"][0], "not an image of a kind that can be read"),
    "n01440764/a_3.JPEG": (odd.BAD["empty"][0], "the file is empty"),
}


@pytest.fixture
def damaged(tree, tmp_path):
    shutil.copytree(tree / "train", tmp_path / "damaged" / "train")
    for key, (make_bytes, _) in BAD.items():
        (tmp_path / "damaged" / "train" / key).write_bytes(make_bytes())
    return tmp_path / "damaged"


def test_stopping_is_the_default(damaged, tmp_path):
    with pytest.raises(UserError, match=r"cannot be converted: .* --on-bad skip"):
        make(damaged, tmp_path / "out")
    skipped = make(damaged, tmp_path / "out", on_bad="skip")  # goes on with the work already done
    assert same_files(skipped, make(damaged, tmp_path / "afresh", on_bad="skip", workers=1))


@pytest.mark.parametrize("encoding", ["yuv420", "original"])
def test_skipped_images_are_listed_with_reasons(damaged, tmp_path, encoding):
    output = make(damaged, tmp_path / "out", encoding, on_bad="skip")
    manifest = load_manifest(output)
    assert {item.key: item.reason for item in manifest.skipped} == {key: reason for key, (_, reason) in BAD.items()}
    index = Dataset(output).index
    ids = index.column("id").to_pylist()
    assert manifest.rows == len(ids) == 70
    assert ids == sorted(set(ids))
    assert max(ids) <= 72
    assert verify(VerifyOptions(output)) == 0


def test_quarantine_keeps_the_files(damaged, tmp_path):
    output = make(damaged, tmp_path / "out", on_bad="quarantine")
    kept = {path.name: path.read_bytes() for path in (output / QUARANTINE_NAME).iterdir()}
    assert kept == {key.replace("/", "__"): make_bytes() for key, (make_bytes, _) in BAD.items()}
    assert verify(VerifyOptions(output)) == 0


def test_a_quarantined_file_is_written_where_the_next_run_clears_away(damaged, tmp_path, monkeypatch):
    """So that a kill leaves nothing of it in the quarantine."""
    written = []
    real = shard.sync_file

    def sync_file(file):
        written.append(file.parent.parent.name)
        real(file)

    def make_shards(tasks, *_):
        for task in tasks:
            shard.convert_shard(task)
        return conversion.Cost(cpu_s=1.0)

    monkeypatch.setattr(conversion, "make_shards", make_shards)
    monkeypatch.setattr(shard, "sync_file", sync_file)
    output = make(damaged, tmp_path / "out", on_bad="quarantine")
    assert written == [STAGING_NAME] * (len(BAD) + 2 * len(load_manifest(output).shards))


@pytest.mark.parametrize("shard_rows", [10, 100])
def test_the_budget_ends_the_run(damaged, tmp_path, shard_rows):
    with pytest.raises(UserError, match="more than --max-bad 2"):
        make(damaged, tmp_path / "out", on_bad="skip", max_bad=2, shard_rows=shard_rows)
    make(damaged, tmp_path / "out", on_bad="skip", max_bad=3, shard_rows=shard_rows)


def test_a_source_of_rubbish_is_refused(tmp_path):
    folder = tmp_path / "rubbish" / "train" / "n01440764"
    folder.mkdir(parents=True)
    (folder / "a.JPEG").write_text("rubbish")
    with pytest.raises(UserError, match="none of the 1 images"):
        make(tmp_path / "rubbish", tmp_path / "out", on_bad="skip")
