"""Class folders, `<split>/<wnid>/<name>.JPEG`, and flat validation images; image suffixes in any case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from convert.dataset.classes import WNID_PATTERN
from convert.errors import UserError
from convert.sources.base import (
    IMAGE_SUFFIXES,
    Place,
    RangeReader,
    Reader,
    naming_unreadable,
    sorted_listing,
    visible,
)
from convert.sources.labels import Truth, lacks_class


def image_files(folder: Path, *, all_of_them: bool = False) -> Iterator[tuple[str, int]]:
    """Name and size in bytes of the image files directly in `folder`.

    Raises:
        UserError: something in it cannot be read, or `all_of_them` are wanted and a folder inside it holds more.
    """
    with naming_unreadable(folder):
        for entry in visible(folder):
            if entry.name.lower().endswith(IMAGE_SUFFIXES) and entry.is_file():
                yield entry.name, entry.stat().st_size
            elif all_of_them and entry.is_dir() and any(image_files(Path(entry.path))):
                raise UserError(
                    f"{entry.path} holds images too deep for one split: give the folder of one split, with all images of a "
                    "class directly in the folder of that class"
                )


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
        for wnid in sorted(entry.name for entry in visible(self.path) if entry.is_dir()):
            images = 0
            for name, size in image_files(self.path / wnid, all_of_them=True):
                if lacks_class(wnid, name):
                    raise UserError(
                        f"{self.path / wnid} holds {name}, so it is a split and not a class: give that folder itself"
                    )
                images += 1
                yield Place(f"{wnid}/{name}", wnid, f"{wnid}/{name}", 0, size)
            if images == 0 and WNID_PATTERN.fullmatch(wnid):
                raise UserError(
                    f"the class folder {self.path / wnid} holds no images: get them, or remove the folder if the class "
                    "is to be left out"
                )


@dataclass(frozen=True)
class FlatSource:
    """One folder with the validation images, labelled by the development kit's ground truth."""

    path: Path
    truth: Truth

    def listing(self) -> pa.Table:
        """All images, sorted by key."""
        listing = sorted_listing(self.path, self._places())
        self.truth.refuse_other_length(listing.column("key").to_pylist())
        return listing

    def reader(self) -> Reader:
        """A reader of whole files."""
        return RangeReader(self.path)

    def _places(self) -> Iterator[Place]:
        for name, size in image_files(self.path, all_of_them=True):
            wnid = self.truth.wnid_of(name)
            yield Place(f"{wnid}/{name}", wnid, name, 0, size)
