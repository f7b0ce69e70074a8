"""How the tests make a dataset."""

from __future__ import annotations

import filecmp
from pathlib import Path

from convert.manifest import EncodingName
from convert.run import RunOptions, run


def make(tree: Path, output: Path, encoding: EncodingName = "yuv420", **options) -> Path:
    assert run(RunOptions(tree / "train", output, encoding, **{"shard_rows": 25, "workers": 2, **options})) == 0
    return output


def same_files(one: Path, other: Path) -> bool:
    """Whether two folders hold the same names with the same bytes."""
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    return not any(filecmp.cmpfiles(one, other, names, shallow=False)[1:])
