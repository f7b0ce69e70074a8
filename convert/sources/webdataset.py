"""WebDataset: a folder of tar shards in which `<name>.jpg` and `<name>.cls` follow each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import pyarrow as pa

from convert.entries import JPEG_SUFFIXES, Account, Entry
from convert.errors import UserError
from convert.sources.base import Place, Source, image_key, sorted_listing
from convert.sources.labels import LabelNumbers
from convert.sources.splits import files_of_split
from convert.sources.tars import members

_LABEL_BYTES_MAX = 16
_LABEL = re.compile(rb"\s*-?\d+\s*")  # int() would take 1_0 for 10


@dataclass(frozen=True)
class WebDatasetSource(Source):
    """Tar shards with an image and a label number per sample."""

    labels: LabelNumbers
    split: str = ""
    """Which shards of the folder, where it holds several splits."""

    def listing(self) -> pa.Table:
        """All images, sorted by key; their names end in .JPEG as ImageNet's do, whatever WebDataset made of it."""
        return sorted_listing(self.account, self._places())

    def notes(self) -> list[str]:
        """Also whether the meaning of the labels was guessed."""
        return [*super().notes(), *self.labels.notes()]

    def _places(self) -> Iterator[Place]:
        for path in files_of_split(self.path, "tar", self.split, self.account):
            found = list(_samples(path, self.account))
            names = [image.name for image, _ in found]
            wnids = self.labels.wnids(path, [label for _, label in found], names)
            for (image, _), wnid in zip(found, wnids, strict=True):
                key = image_key(wnid, image.name, _suffix(image.name))
                yield Place(key, wnid, path.name, image.offset, image.length)


def _suffix(name: str) -> str:
    return ".JPEG" if name.lower().endswith(JPEG_SUFFIXES) else ""


def _samples(path: Path, account: Account) -> Iterator[tuple[Entry, int]]:
    """Images with their labels; a sample is what shares a name up to the first dot of its file name."""
    images: dict[str, Entry] = {}
    labels: dict[str, Entry] = {}
    for member in account.take(members(path), "image", "label"):
        if member.kind == "image":
            _add(images, member, path, "images")
        else:
            _add(labels, member, path, "labels")
    for sample in sorted(images.keys() ^ labels.keys())[:1]:
        raise UserError(
            f"the sample {sample} in {path} has {'no label' if sample in images else 'no image'} (.jpg and .cls are needed, "
            "labels in .json or .txt are not read)"
        )
    if not images:
        raise UserError(f"{path} holds no samples of .jpg and .cls: get it anew, or remove it if nothing is missing")
    with path.open("rb") as stream:
        for sample, image in images.items():
            yield image, _label_number(stream, labels[sample], path)


def _add(found: dict[str, Entry], member: Entry, path: Path, kind: str) -> None:
    name = PurePosixPath(member.name)
    sample = str(name.parent / name.name.split(".")[0])
    if sample in found:
        raise UserError(
            f"the sample {sample} in {path} has two {kind}, the second is {member.name}: pack it with one image and "
            "one label, under a name of its own up to the first dot"
        )
    found[sample] = member


def _label_number(stream: BinaryIO, member: Entry, path: Path) -> int:
    stream.seek(member.offset)
    text = stream.read(min(member.length, _LABEL_BYTES_MAX + 1))
    if len(text) > _LABEL_BYTES_MAX or not _LABEL.fullmatch(text):
        raise UserError(f"{member.name} in {path} holds {text!r} instead of a label number")
    return int(text)
