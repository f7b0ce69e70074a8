"""Class folders: `<split>/<wnid>/<name>.JPEG`, suffixes .jpeg, .jpg and .png in any case."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from convert.sources.base import IMAGE_SUFFIXES, Place, RangeReader, Reader, sorted_listing
from convert.sources.truth import Truth


def image_files(folder: Path) -> Iterator[tuple[str, int]]:
    """Name and size in bytes of the image files directly in `folder`."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.lower().endswith(IMAGE_SUFFIXES) and not entry.name.startswith(".") and entry.is_file():
                yield entry.name, entry.stat().st_size


@dataclass(frozen=True)
class FolderSource:
    """One folder per class, named by its wnid (any name will do), with the images in it."""

    path: Path

    def listing(self) -> pa.Table:
        """All images of all class folders, sorted by key."""
        return sorted_listing(self.path, self._places())

    def reader(self) -> Reader:
        """A reader of whole files."""
        return RangeReader(self.path)

    def _places(self) -> Iterator[Place]:
        for wnid in sorted(entry.name for entry in os.scandir(self.path) if entry.is_dir()):
            for name, size in image_files(self.path / wnid):
                yield Place(f"{wnid}/{name}", wnid, f"{wnid}/{name}", 0, size)


@dataclass(frozen=True)
class FlatSource:
    """One folder with the validation images, labelled by the development kit's ground truth."""

    path: Path
    truth: Truth

    def listing(self) -> pa.Table:
        """All images, sorted by key."""
        return sorted_listing(self.path, self._places())

    def reader(self) -> Reader:
        """A reader of whole files."""
        return RangeReader(self.path)

    def _places(self) -> Iterator[Place]:
        for name, size in image_files(self.path):
            wnid = self.truth.wnid_of(name)
            yield Place(f"{wnid}/{name}", wnid, name, 0, size)
