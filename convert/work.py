"""The work of one shard, done by one process: read, encode, write, hash, move into place, record.

The record, a small Parquet file in the staging folder, is the shard's commit mark: it is published after the
shard and its `.db` have been synced and have got their final names. A shard without a record does not
count, whatever lies in the output folder; a shard with one is never done again.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from convert import images
from convert.errors import BadImageError, UserError
from convert.files import FILE_MODE, publish, published, sha256_file, sync_path
from convert.manifest import INDEX_SCHEMA, STAGING_NAME, WORK_PREFIX, Encoding, Layout, ShardEntry, SkippedItem
from convert.shards import DB_SUFFIX, PAYLOAD_BYTES_MAX, ShardWriter, read_db
from convert.sources.base import Reader

PROGRESS_NAME = "progress.json"
_BATCH_ROWS = 32
_PROGRESS_SECONDS = 0.5


@dataclass(frozen=True)
class ShardTask:
    """Everything a worker needs to make one shard; picklable."""

    index: int
    name: str
    first_id: int
    reader: Reader
    items: pa.Table
    """Listing rows of the shard in plan order, with their `label` (int32)."""
    encoding: Encoding
    layout: Layout
    check: images.Check
    output: Path


@dataclass(frozen=True)
class ShardRecord:
    """A finished shard: its manifest entry, its rows of the index, and what was left out."""

    entry: ShardEntry
    index_rows: pa.Table
    skipped: tuple[SkippedItem, ...]


def record_path(output: Path, index: int) -> Path:
    """Where the commit mark of a shard lies."""
    return output / STAGING_NAME / f"shard-{index:05d}.parquet"


def convert_shard(task: ShardTask) -> None:
    """Make one shard and publish it with its record.

    Raises:
        UserError: an image cannot be read or decoded, or the disk is full; the message names it.
    """
    folder = task.output / STAGING_NAME / f"{WORK_PREFIX}{task.index:05d}-{socket.gethostname()}-{os.getpid()}"
    folder.mkdir()
    try:
        record = _write(task, folder)
        _publish(task, folder, record)
    except OSError as error:
        raise UserError(
            f"shard {task.name} in {task.output}: {error}; put it right and run the same command again"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(task: ShardTask, folder: Path) -> ShardRecord:
    path = folder / task.name
    progress = _Progress(folder, task.index)
    rows: list[dict] = []
    writer = ShardWriter(path, task.layout)
    for batch in _batches(task):
        writer.write([{name: row[name] for name in ("id", "label", "height", "width", "image")} for row in batch])
        for row in batch:
            del row["image"]
        rows += batch
        progress.report(len(rows))
    writer.commit()
    database = path.with_name(task.name + DB_SUFFIX)
    table = read_db(database)
    index_rows = pa.Table.from_pylist(rows, pa.schema([field for field in INDEX_SCHEMA if field.name != "offset"]))
    index_rows = index_rows.append_column("offset", pa.array(table.offsets(task.layout))).select(INDEX_SCHEMA.names)
    for file in (path, database):
        file.chmod(FILE_MODE)
        sync_path(file)
    entry = ShardEntry(
        task.name, len(rows), path.stat().st_size, sha256_file(path), database.stat().st_size, sha256_file(database)
    )
    return ShardRecord(entry, index_rows, ())


def _batches(task: ShardTask) -> Iterator[list[dict]]:
    """Rows of INDEX_SCHEMA without `offset` and with `image`, in plan order."""
    batch: list[dict] = []
    for position, item in enumerate(task.items.to_pylist()):
        data = task.reader.read(item["file"], item["offset"], item["length"])
        batch.append(_row(task, position, item, data))
        if len(batch) == _BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _row(task: ShardTask, position: int, item: dict, data: bytes) -> dict:
    try:
        payload = images.encode(data, task.encoding, task.check)
        if len(payload.data) > PAYLOAD_BYTES_MAX:
            raise BadImageError(f"{len(payload.data):,} bytes when encoded, more than a MindRecord page holds")
    except BadImageError as error:
        raise UserError(
            f"{item['key']} ({item['file']}) cannot be converted: {error}; remove or replace the file"
        ) from error
    return {
        "id": task.first_id + position,
        "key": item["key"],
        "label": item["label"],
        "shard": task.index,
        "length": len(payload.data),
        "height": payload.height,
        "width": payload.width,
        "source_bytes": len(data),
        "crc32": zlib.crc32(payload.data),
        "action": payload.action,
        "reason": payload.reason,
        "image": payload.data,
    }


def _publish(task: ShardTask, folder: Path, record: ShardRecord) -> None:
    for name in (task.name + DB_SUFFIX, task.name):
        publish(folder / name, task.output / name)
    metadata = {
        b"entry": json.dumps(asdict(record.entry)).encode(),
        b"skipped": json.dumps([asdict(item) for item in record.skipped]).encode(),
    }
    with published(record_path(task.output, task.index)) as temporary:
        pq.write_table(record.index_rows.replace_schema_metadata(metadata), temporary, compression="zstd")


def read_record(output: Path, index: int) -> ShardRecord | None:
    """The record of a finished shard, or None; a record whose shard is gone or of another size does not count."""
    path = record_path(output, index)
    if not path.is_file():
        return None
    table = pq.read_table(path)
    metadata = table.schema.metadata or {}
    entry = ShardEntry(**json.loads(metadata[b"entry"]))
    for name, size in ((entry.name, entry.data_bytes), (entry.name + DB_SUFFIX, entry.db_bytes)):
        file = output / name
        if not file.is_file() or file.stat().st_size != size:
            return None
    skipped = tuple(SkippedItem(**item) for item in json.loads(metadata[b"skipped"]))
    return ShardRecord(entry, table.replace_schema_metadata(None), skipped)


def states(output: Path) -> list[dict[str, int]]:
    """What the workers last told about themselves: shard, pid, images (done of that shard)."""
    found = []
    for path in (output / STAGING_NAME).glob(f"{WORK_PREFIX}*/{PROGRESS_NAME}"):
        try:
            found.append(json.loads(path.read_text()))
        except FileNotFoundError:
            continue  # that shard has just been finished
    return found


class _Progress:
    """Tells the run, through a small file, how far this shard is and who works on it."""

    def __init__(self, folder: Path, index: int) -> None:
        self._path = folder / PROGRESS_NAME
        self._index = index
        self._next = 0.0
        self.report(0)

    def report(self, images_done: int) -> None:
        """Write the count, at most twice a second."""
        if time.monotonic() >= self._next:
            state = {"shard": self._index, "pid": os.getpid(), "images": images_done}
            temporary = self._path.with_suffix(".tmp")
            temporary.write_text(json.dumps(state))
            temporary.replace(self._path)
            self._next = time.monotonic() + _PROGRESS_SECONDS
