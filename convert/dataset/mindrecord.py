"""One MindRecord shard: written by MindSpore's FileWriter, read back through its SQLite index.

A row is {image: bytes, label: int32, id: int64, height: int32, width: int32}; the scalars are indexed,
so the `.db` beside a shard knows them without touching the shard. With one `bytes` field the payload of a
row lies in the shard file at

    header_bytes + PAGE_ID_BLOB * page_bytes + PAGE_OFFSET_BLOB + 8

(an 8-byte length stands before it) up to `header_bytes + PAGE_ID_BLOB * page_bytes + PAGE_OFFSET_BLOB_END`.
MindSpore documents the files only as readable by MindDataset; a test compares both ways of reading.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.dataset.manifest import Layout
from convert.errors import UserError
from convert.image.encoding import Encoding


@contextmanager
def one_cpu() -> Iterator[None]:
    """Keep this thread, and those that it starts meanwhile, on the CPU where it runs now.

    For work that is handed from thread to thread, each waiting for the last, as MindRecord hands on what it writes: with
    a worker process on every CPU a new thread is put behind another worker's time slice (two workers then write 1.3
    times as much as one, and 1.8 times with this). Does nothing where the C library cannot tell the CPU or the system does not
    let a thread choose it: the work is then slower, not another.
    """
    current_cpu = getattr(ctypes.CDLL(None), "sched_getcpu", None)
    cpu = current_cpu() if current_cpu is not None else -1
    if cpu < 0:
        yield
        return
    allowed = os.sched_getaffinity(0)
    with suppress(OSError):
        os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        with suppress(OSError):  # where the CPUs were changed from outside meanwhile, the system has moved the thread
            os.sched_setaffinity(0, allowed)


DB_SUFFIX = ".db"
HEADER_BYTES = 1 << 20
"""MindSpore's default of 16 MiB is room for the page table of far larger files."""
PAGE_BYTES = 1 << 25
"""MindSpore's default."""
SMALL_PAGE_BYTES = 1 << 23
"""Where images are at most 512 pixels high or wide: a shard starts with an empty page, which small shards should not pay for."""

_SCHEMA = {
    "image": {"type": "bytes"},
    "label": {"type": "int32"},
    "id": {"type": "int64"},
    "height": {"type": "int32"},
    "width": {"type": "int32"},
}
STORED_FIELDS = tuple(_SCHEMA)
_INDEXED = ["label", "id", "height", "width"]
_LENGTH_BYTES = 8


def layout_for(encoding: Encoding) -> Layout:
    """Header and page size of the shards of a dataset."""
    small = encoding.traits.resizes and 0 < encoding.short_side <= 512
    return Layout(HEADER_BYTES, SMALL_PAGE_BYTES if small else PAGE_BYTES)


def payload_bytes_max(layout: Layout) -> int:
    """The largest payload that fits into a page."""
    return layout.page_bytes - 64


def shard_name(split: str, index: int) -> str:
    """File name of a shard. MindRecord stores the name inside the file: a shard must never be renamed."""
    return f"{split}.mindrecord{index:03d}"


class ShardWriter:
    """Writes one shard into a folder, under its final name. Not a dataset until somebody publishes it."""

    def __init__(self, path: Path, layout: Layout) -> None:
        from mindspore.mindrecord import FileWriter

        self._path = path
        self._rows = 0
        self._writer: Any = FileWriter(str(path), shard_num=1, overwrite=True)
        self._writer.set_header_size(layout.header_bytes)
        self._writer.set_page_size(layout.page_bytes)
        self._writer.add_schema(_SCHEMA, "one image per row")
        self._writer.add_index(_INDEXED)

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Append rows with exactly the fields of the schema, as Python ints and bytes."""
        batch = list(rows)
        with one_cpu():
            self._writer.write_raw_data(batch)
        if len(batch) != len(rows):  # MindRecord drops bad rows from the list it is given, with a warning only
            raise RuntimeError(f"MindRecord dropped {len(rows) - len(batch)} rows of {self._path}")
        self._rows += len(rows)

    def commit(self) -> None:
        """Finish the files and count the rows that arrived."""
        with one_cpu():
            self._writer.commit()
        arrived = len(read_db(self._path.with_name(self._path.name + DB_SUFFIX)).id)
        if arrived != self._rows:
            raise RuntimeError(f"{self._path} has {arrived} rows, {self._rows} were written")


@dataclass(frozen=True)
class ShardTable:
    """What a shard's `.db` knows, in id order; each array has one element per row."""

    id: np.ndarray
    """int64."""
    label: np.ndarray
    """int32."""
    height: np.ndarray
    """int32, pixels."""
    width: np.ndarray
    """int32, pixels."""
    page: np.ndarray
    """int64: number of the page that holds the payload."""
    start: np.ndarray
    """int64: first byte of the payload's length field, from the start of the page."""
    end: np.ndarray
    """int64: byte behind the payload, from the start of the page."""

    def offsets(self, layout: Layout) -> np.ndarray:
        """int64: where each payload starts in the shard file, bytes."""
        return layout.header_bytes + self.page * layout.page_bytes + self.start + _LENGTH_BYTES

    def lengths(self) -> np.ndarray:
        """int64: size of each payload, bytes."""
        return self.end - self.start - _LENGTH_BYTES


def read_db(path: Path) -> ShardTable:
    """Read a shard's SQLite index.

    Raises:
        UserError: missing, damaged, or not the index of such a shard.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: restore it or convert again")
    query = "SELECT id_0, label_0, height_0, width_0, PAGE_ID_BLOB, PAGE_OFFSET_BLOB, PAGE_OFFSET_BLOB_END FROM INDEXES ORDER BY id_0"
    try:
        # immutable: no lock files beside a dataset that may be read-only
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            rows = np.array(connection.execute(query).fetchall(), np.int64).reshape(-1, 7)
        finally:
            connection.close()
    except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
        raise UserError(f"{path} is not the index of a shard ({error}): restore it or convert again") from error
    columns = [np.ascontiguousarray(column) for column in rows.T]
    return ShardTable(columns[0], *(column.astype(np.int32) for column in columns[1:4]), *columns[4:])
