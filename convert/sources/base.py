"""What every source offers: a listing of its images, and a reader of their bytes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from convert.errors import UserError

IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png")

LISTING_SCHEMA = pa.schema(
    [
        ("key", pa.string()),  # "<wnid>/<file name>", the same in every packaging
        ("wnid", pa.string()),
        ("file", pa.string()),  # relative to the source's folder
        ("offset", pa.int64()),  # where the image starts in the file, bytes; for Parquet the row number
        ("length", pa.int64()),  # size of the encoded image, bytes
        ("block", pa.int64()),  # images of one block are cheap to read together only (a Parquet row group)
    ]
)


class Reader(Protocol):
    """Reads images in one process; not shared between processes."""

    def read(self, file: str, offset: int, length: int) -> bytes:
        """The encoded image at `offset` of `file`; raises UserError when it is not there."""
        ...

    def close(self) -> None:
        """Release what is open."""
        ...


class Source(Protocol):
    """One split in one packaging. Picklable: worker processes open their own reader."""

    @property
    def path(self) -> Path:
        """Where the user said it is."""
        ...

    def listing(self) -> pa.Table:
        """All images (LISTING_SCHEMA), sorted by key; raises UserError when there are none."""
        ...

    def open(self) -> Reader:
        """A reader for the calling process."""
        ...


def sorted_listing(path: Path, columns: dict[str, list | pa.Array | pa.ChunkedArray]) -> pa.Table:
    """Build a listing sorted by key.

    Raises:
        UserError: no images, or two images with one key.
    """
    table = pa.table(columns).cast(LISTING_SCHEMA) if columns["key"] else LISTING_SCHEMA.empty_table()
    if table.num_rows == 0:
        raise UserError(f"{path} holds no images: give the folder of one split, with one folder of images per class")
    # wnids have one length, so the order of keys is the order of (wnid, name)
    table = table.sort_by("key").combine_chunks()
    keys = table.column("key").to_pylist()
    if len(set(keys)) != len(keys):
        first = next(key for key, following in itertools.pairwise(keys) if key == following)
        raise UserError(f"{path} holds two images that are both called {first}: rename or remove one")
    return table
