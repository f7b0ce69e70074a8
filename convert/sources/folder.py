"""Class folders, `<split>/<wnid>/<name>.JPEG`, and flat validation images; whatever their suffixes."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from convert.entries import walk
from convert.sources.base import Source, sorted_listing
from convert.sources.class_folders import ClassFolders, Placed
from convert.sources.labels import Truth


@dataclass(frozen=True)
class FolderSource(Source):
    """One folder per class, named by its wnid (any name will do), with the images in it; or validation images in none."""

    truth: Truth | None
    """Labels of images that lie in no class folder."""
    force_labels: bool

    def listing(self) -> pa.Table:
        """All images, sorted by key."""
        folders = ClassFolders(self.path, self.truth, self.force_labels, self.account)
        entries = self.account.take(walk(self.path), "image", "label", "folder", "other")
        listing = sorted_listing(self.account, folders.places(Placed(entry, entry.name) for entry in entries))
        if self.truth:
            self.truth.check(listing.column("key").to_pylist())
        return listing
