"""Class folders: `<split>/<wnid>/<name>.JPEG`, suffixes .jpeg, .jpg and .png in any case."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from convert.errors import UserError
from convert.sources.base import IMAGE_SUFFIXES, Reader, sorted_listing


@dataclass(frozen=True)
class FolderSource:
    """One folder per class, named by its wnid (any name will do), with the images in it."""

    path: Path

    def listing(self) -> pa.Table:
        """All images of all class folders, sorted by key."""
        columns: dict[str, list] = {"key": [], "wnid": [], "file": [], "offset": [], "length": [], "block": []}
        for folder in sorted(entry.name for entry in os.scandir(self.path) if entry.is_dir()):
            with os.scandir(self.path / folder) as entries:
                for entry in entries:
                    if entry.name.lower().endswith(IMAGE_SUFFIXES) and not entry.name.startswith("."):
                        columns["key"].append(f"{folder}/{entry.name}")
                        columns["wnid"].append(folder)
                        columns["length"].append(entry.stat().st_size)
        columns["file"] = columns["key"]
        columns["offset"] = [0] * len(columns["key"])
        columns["block"] = [-1] * len(columns["key"])
        return sorted_listing(self.path, columns)

    def open(self) -> Reader:
        """A reader of whole files."""
        return FolderReader(self.path)


@dataclass(frozen=True)
class FolderReader:
    """Reads whole files below `root`."""

    root: Path

    def read(self, file: str, offset: int, length: int) -> bytes:
        """The file's bytes; `offset` is 0 here, `length` what the listing saw."""
        path = self.root / file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UserError(
                f"cannot read {path} ({error.strerror}): put it right and run the same command again"
            ) from error
        if len(data) != length or offset != 0:
            raise UserError(
                f"{path} changed while it was being converted, from {length} to {len(data)} bytes: convert again"
            )
        return data

    def close(self) -> None:
        """Nothing stays open."""
