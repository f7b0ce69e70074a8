"""What every source offers: a listing of its images, and a reader of their bytes."""

from __future__ import annotations

import abc
import itertools
import posixpath
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from convert.dataset.classes import normalised
from convert.entries import Account
from convert.errors import UserError

LISTING_SCHEMA = pa.schema(
    [
        ("key", pa.string()),  # "<wnid>/<file name>", the same in every packaging
        ("wnid", pa.string()),
        ("file", pa.string()),  # relative to the source's folder
        ("offset", pa.int64()),  # where the image starts in the file, bytes; in Parquet its row number
        ("length", pa.int64()),  # size of the encoded image, bytes; -1 where only reading it would tell
        ("block", pa.int64()),  # images that are only cheap to read together share a block (Parquet row group), else -1
    ]
)

IMAGE_BYTES_MAX = 1 << 29
"""Of an encoded image: the pixels of the largest one that is decoded, uncompressed at 16 bits, are no more."""
OPEN_FILES_MAX = 64
"""Of one reader."""
_BATCH_ROWS = 1 << 15


class Place(NamedTuple):
    """One row of a listing."""

    key: str
    wnid: str
    file: str
    offset: int
    length: int
    block: int = -1


class Reader(Protocol):
    """Reads images. Picklable as long as nothing has been read; afterwards it belongs to its process."""

    def read(self, file: str, offset: int, length: int) -> bytes:
        """The encoded image that a listing places there; raises UserError when it is not to be had."""
        ...


@dataclass(frozen=True)
class RangeReader:
    """Reads ranges of files below `root`, in place."""

    root: Path
    opened: OrderedDict[str, BinaryIO] = field(default_factory=OrderedDict)

    def read(self, file: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on."""
        path = self.root / file
        try:
            stream = self._open(file, path)
            stream.seek(offset)
            data = stream.read(length)
        except OSError as error:
            raise UserError(
                f"cannot read {path} ({error.strerror or error}): put it right and run the same command again"
            ) from error
        if len(data) != length:
            raise UserError(f"{path} ends {length - len(data):,} bytes early: it changed, or is truncated; get it anew")
        return data

    def _open(self, file: str, path: Path) -> BinaryIO:
        stream = self.opened.pop(file, None) or path.open("rb", buffering=0)
        self.opened[file] = stream
        if len(self.opened) > OPEN_FILES_MAX:
            self.opened.popitem(last=False)[1].close()
        return stream


@dataclass(frozen=True)
class Source(abc.ABC):
    """One split in one packaging: a file, or a folder of files."""

    path: Path
    """Where the user said it is."""
    account: Account

    @abc.abstractmethod
    def listing(self) -> pa.Table:
        """All images (LISTING_SCHEMA), sorted by key; raises UserError when there are none."""

    def reader(self) -> Reader:
        """A fresh reader."""
        return RangeReader(self.path if self.path.is_dir() else self.path.parent)

    def notes(self) -> list[str]:
        """What to tell of it once it is listed: files that were left out, labels that were guessed."""
        return self.account.notes()


def image_key(wnid: str, name: str, suffix: str = "") -> str:
    """The key of an image: equal for equal images in all packagings.

    Args:
        wnid: of its class.
        name: its file name or path; of Hugging Face's `<stem>_<wnid>.JPEG` the appended wnid is taken off.
        suffix: replaces the name's own suffix where the packaging dictates one.
    """
    stem, own_suffix = posixpath.splitext(posixpath.basename(name))  # pathlib would take a third of a listing's time
    return normalised(f"{wnid}/{stem.removesuffix(f'_{wnid}') or stem}{suffix or own_suffix}")


def sorted_listing(account: Account, places: Iterable[Place]) -> pa.Table:
    """Build a listing of the source of `account` sorted by key.

    Raises:
        UserError: no images, two images with one key, or a name that is not UTF-8.
    """
    title = account.title
    table = pa.Table.from_batches(_batches(title, places), LISTING_SCHEMA)
    if table.num_rows == 0:
        besides = "".join(f" ({note})" for note in account.notes())
        raise UserError(
            f"{title} holds no images{besides}: give the folder of one split, with one folder of images per class"
        )
    if (position := pc.index(pc.greater(table.column("length"), IMAGE_BYTES_MAX), True).as_py()) >= 0:
        place = table.slice(position, 1).to_pylist()[0]
        raise UserError(
            f"{place['key']} in {title} has {place['length']:,} bytes, more than any image that is converted: remove it"
        )
    # all wnids are equally long, so the order of keys is the order of (wnid, name)
    table = table.sort_by("key").combine_chunks()
    keys = table.column("key")
    equal = pc.call_function("equal", [keys.slice(1), keys.slice(0, len(keys) - 1)])
    if (position := equal.index(True).as_py()) >= 0:
        first = keys[position].as_py()
        raise UserError(f"{title} holds two images that are both called {first}: rename or remove one")
    return table


def _batches(title: str, places: Iterable[Place]) -> Iterator[pa.RecordBatch]:
    """Places as Arrow batches: as Python objects, those of all of ImageNet would take half a gigabyte."""
    remaining = iter(places)
    while some := list(itertools.islice(remaining, _BATCH_ROWS)):
        columns = zip(zip(*some, strict=True), LISTING_SCHEMA, strict=True)
        try:
            arrays = [pa.array(column, entry.type) for column, entry in columns]
        except UnicodeEncodeError as error:  # which holds the name
            raise UserError(f"{title} holds the name {error.object!r}, which is not UTF-8: rename it") from error
        yield pa.record_batch(arrays, schema=LISTING_SCHEMA)
