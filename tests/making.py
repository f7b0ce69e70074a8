"""How the tests make a dataset."""

from __future__ import annotations

from pathlib import Path

from convert.manifest import EncodingName
from convert.run import RunOptions, run


def make(tree: Path, output: Path, encoding: EncodingName = "yuv420", **options) -> Path:
    assert run(RunOptions(tree / "train", output, encoding, **{"shard_rows": 25, "workers": 2, **options})) == 0
    return output
