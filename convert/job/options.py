"""The options of `python -m convert run`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from convert import processors
from convert.errors import require_at_least
from convert.image.encode import Check
from convert.image.encoding import Encoding, EncodingName
from convert.sources import Kind

LOCAL = "local"
_DASK = re.compile(r"dask://\S+:\d+")
_SPLITS = ("train", "val", "validation", "test")


@dataclass(frozen=True)
class RunOptions:
    """Convert one split to a dataset directory of verified MindRecord shards.

    Killed at any moment, the same command goes on where it stopped and ends with the same bytes.
    """

    source: Annotated[Path, tyro.conf.Positional]
    """One split: class folders, flat validation images, a tar (of tars), Parquet, or WebDataset shards; nothing is unpacked."""
    output: Annotated[Path, tyro.conf.Positional]
    """The dataset directory to make; new, empty, or of an unfinished run."""
    encoding: EncodingName = "yuv420"
    """yuv420: planes, the fastest to train from; original: the source bytes where they are safe; jpeg: resized and re-encoded."""
    short_side: int = 256
    """Longest short side of stored images in pixels, 0 keeps their size; without effect on original."""
    quality: int = 90
    """JPEG quality of the encoding jpeg, 1 to 100."""
    check: Check = "decode"
    """How the encoding original checks images: decode every one, or only scan its markers (faster)."""
    on_bad: OnBad = "fail"
    """What to do with an image that cannot be decoded: stop; leave it out; or leave it out and keep it in OUT/quarantine."""
    max_bad: int = 100
    """The most images that may be left out before the run stops all the same."""
    classes: str = "auto"
    """auto: the wnids found; imagenet1k: the fixed 1,000, so that a subset keeps its labels; or a table (FILE.tsv)."""
    source_kind: Annotated[Kind | None, tyro.conf.arg(name="source")] = None
    """The packaging, where looking at it does not tell."""
    devkit: Path | None = None
    """Folder with the ground truth (and meta.mat) of flat validation images; default: look around the source."""
    force_labels: bool = False
    """Accept labels in another order than sorted wnids."""
    split: str = ""
    """Name of the split and of the shard files; default: the source's folder name if it is train or val, else "train".
    Of a folder with the Parquet files or WebDataset shards of several splits, it takes this one's."""
    seed: int = 0
    """Of the shuffle that puts the images in order."""
    shard_rows: int = 0
    """Images per shard; 0: 16 shards, of at least 64 and at most 10,010 images."""
    workers: int = field(default_factory=processors.usable_processors)
    """Worker processes; the output does not depend on it."""

    executor: str = LOCAL
    """local: processes on this machine; dask://HOST:PORT: a Dask cluster whose workers share these files."""
    dry_run: bool = False
    """Convert nothing; say what it would take and what stands in the way, as `doctor` does."""

    def __post_init__(self) -> None:
        self.stored_as()
        require_at_least(self, 1, "quality", "workers")
        require_at_least(self, 0, "seed", "max_bad", "shard_rows")
        if self.executor != LOCAL and not _DASK.fullmatch(self.executor):
            raise ValueError(f"executor must be local or dask://HOST:PORT, got {self.executor!r}")
        if self.split and not self.split.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"split must consist of letters, digits, - and _, got {self.split!r}")

    def stored_as(self) -> Encoding:
        """The encoding with those parameters that bear on it."""
        return Encoding.of(self.encoding, self.short_side, self.quality)

    def split_name(self) -> str:
        """The split's name."""
        name = self.source.resolve().name.lower()
        return self.split or (name if name in _SPLITS else "train")


@dataclass(frozen=True)
class DoctorOptions(RunOptions):
    """Say what a conversion would take and what stands in its way; takes the options of run, converts nothing."""


OnBad = Literal["fail", "skip", "quarantine"]
