"""A power cut takes everything that has not been synced; the same command must still end with the same bytes.

The file system is modelled at its worst. Of a file there is after the cut what it held at its last sync, nothing if it
was never synced. Names are lost or kept at the disk's whim: `late` drops every name that its folder's last sync did
not hold, `early` keeps every name as it was at the cut, even that of a file whose contents never arrived.
"""

from __future__ import annotations

import itertools
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from convert_making import same_files

from convert.dataset.manifest import MANIFEST_NAME
from convert.job import conversion, shard
from convert.run import RunOptions, run
from convert.verify import VerifyOptions, verify

Names = dict[Path, dict[str, int | Path]]
"""What each folder's names mean: the inode number of a file, or the path of a folder."""


@dataclass(frozen=True)
class Cut:
    """What is on the disk after a cut at one moment."""

    names: Names
    contents: dict[int, bytes]

    def restore(self, folder: Path, target: Path) -> None:
        """Write it out."""
        target.mkdir()
        for name, meaning in self.names.get(folder, {}).items():
            if isinstance(meaning, Path):
                self.restore(meaning, target / name)
            else:
                (target / name).write_bytes(self.contents.get(meaning, b""))


@dataclass
class Disk:
    """Watches syncs and renames below `root`, and knows at each of them what a cut would leave."""

    root: Path
    late: list[Cut] = field(default_factory=list)
    early: list[Cut] = field(default_factory=list)
    _names: Names = field(default_factory=dict)
    _contents: dict[int, bytes] = field(default_factory=dict)
    _held: list[int] = field(default_factory=list)

    def fsync(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_dir():
            self._names[path] = _listing(path)
        else:
            self._held.append(os.dup(descriptor))  # so that its inode number is not given to another file
            self._contents[os.fstat(descriptor).st_ino] = path.read_bytes()
        self.moment()

    def moment(self) -> None:
        """Note what would be left now."""
        folders = [folder for folder in [self.root, *self.root.rglob("*")] if folder.is_dir()]
        contents = dict(self._contents)
        if self.root.name in self._names.get(self.root.parent, {}):
            self.late.append(Cut(dict(self._names), contents))
        self.early.append(Cut({folder: _listing(folder) for folder in folders}, contents))

    def close(self) -> None:
        for descriptor in self._held:
            os.close(descriptor)


def _listing(folder: Path) -> dict[str, int | Path]:
    return {path.name: path if path.is_dir() else path.stat().st_ino for path in folder.iterdir()}


@pytest.fixture
def in_this_process(monkeypatch):
    """Shards are made here, where syncs can be watched."""

    def make_shards(tasks, *_):
        for task in tasks:
            shard.convert_shard(task)
        return conversion.Cost(cpu_s=1.0)

    monkeypatch.setattr(conversion, "make_shards", make_shards)


@pytest.mark.parametrize("names", ["late", "early"])
def test_a_power_cut_at_any_moment(tree, tmp_path, monkeypatch, in_this_process, names):
    few = tmp_path / "few" / "train" / "n01440764"
    few.mkdir(parents=True)
    for path in sorted((tree / "train" / few.name).iterdir())[:12]:
        shutil.copy(path, few)
    output = tmp_path / "whole"
    process_ids = itertools.count(50_000)

    def convert(directory: Path) -> int:
        process_id = next(process_ids)  # as after a real cut: another process goes on, and never uses the same names
        monkeypatch.setattr(os, "getpid", lambda: process_id)
        return run(RunOptions(few.parent, directory, "original", check="scan", shard_rows=6))

    disk, real_replace = Disk(output), os.replace

    def replace(old, new):
        disk.moment()
        real_replace(old, new)
        disk.moment()

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", disk.fsync)
        patch.setattr(Path, "replace", replace)  # os.replace itself is out of reach in Python 3.10
        assert convert(output) == 0
    disk.close()
    cuts = getattr(disk, names)
    assert len(cuts) > 30
    seen = set()
    for number, cut in enumerate(cuts):
        left = tmp_path / f"cut-{number}"
        cut.restore(output, left)
        key = tuple(
            (str(path.relative_to(left)), path.is_file() and path.read_bytes()) for path in sorted(left.rglob("*"))
        )
        if key not in seen:
            seen.add(key)
            if (left / MANIFEST_NAME).exists():
                assert verify(VerifyOptions(left, quick=True)) == 0
            assert convert(left) == 0
            assert same_files(left, output)
        shutil.rmtree(left)
    assert len(seen) > 8
