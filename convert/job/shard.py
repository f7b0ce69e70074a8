"""The work of one shard, done by one process: read, encode, write, hash, move into place, record."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from convert.dataset.index import INDEX_SCHEMA
from convert.dataset.manifest import QUARANTINE_NAME, STAGING_NAME, Layout, ShardEntry, SkippedItem
from convert.dataset.mindrecord import DB_SUFFIX, STORED_FIELDS, ShardWriter, payload_bytes_max, read_db
from convert.durable_files import file_name_of, make_folder, move_synced, sha256_file, sync_file, writer_name
from convert.errors import BadImageError, UserError
from convert.image import encode
from convert.image.encoding import Encoding
from convert.job.options import OnBad
from convert.job.staging import WORK_PREFIX, Progress, ShardRecord, write_record
from convert.sources.base import Reader

_BATCH_ROWS = 32


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
    check: encode.Check
    on_bad: OnBad
    bad_max: int
    """More bad images than this in one shard end the run at once."""
    output: Path


def convert_shard(task: ShardTask) -> int:
    """Make one shard and publish it with its record; returns the number of images left out.

    Raises:
        UserError: an image cannot be read or decoded, or the disk is full; the message names it.
    """
    folder = task.output / STAGING_NAME / f"{WORK_PREFIX}{task.index:05d}-{writer_name()}"
    try:
        folder.mkdir(exist_ok=True)
        record = _write(task, folder)
        move_synced((task.name + DB_SUFFIX, task.name), folder, task.output)
        write_record(task.output, task.index, record)
    except OSError as error:
        raise UserError(
            f"shard {task.name} in {task.output} cannot be written ({error}): put it right and run the same command again"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return len(record.skipped)


def _write(task: ShardTask, folder: Path) -> ShardRecord:
    path = folder / task.name
    progress = Progress(folder, task.index)
    rows: list[dict] = []
    skipped: list[SkippedItem] = []
    try:
        writer = ShardWriter(path, task.layout)
        for number, batch in enumerate(_batches(task, folder, skipped), 1):
            writer.write([{name: row[name] for name in STORED_FIELDS} for row in batch])
            for row in batch:
                del row["image"]
            rows += batch
            progress.report(number * _BATCH_ROWS)
        if not rows:
            raise UserError(
                f"none of the {task.items.num_rows} images of shard {task.name} can be converted: {skipped[0].key}: {skipped[0].reason}"
            )
        writer.commit()
    except RuntimeError as error:  # MindSpore's for a full disk and the like
        raise UserError(
            f"MindSpore cannot write shard {task.name} in {task.output}; is the disk full? "
            f"Put it right and run the same command again ({' '.join(str(error).split())[:300]})"
        ) from error
    database = path.with_name(task.name + DB_SUFFIX)
    table = read_db(database)
    index_rows = pa.Table.from_pylist(rows, pa.schema([field for field in INDEX_SCHEMA if field.name != "offset"]))
    index_rows = index_rows.append_column("offset", pa.array(table.offsets(task.layout))).select(INDEX_SCHEMA.names)
    data_bytes, db_bytes = path.stat().st_size, database.stat().st_size
    with ThreadPoolExecutor(1) as beside:  # the disk takes the shard while it is hashed
        synced = beside.submit(lambda: [sync_file(file) for file in (path, database)])
        entry = ShardEntry(task.name, len(rows), data_bytes, sha256_file(path), db_bytes, sha256_file(database))
        synced.result()
    return ShardRecord(entry, index_rows, tuple(skipped))


def _batches(task: ShardTask, folder: Path, skipped: list[SkippedItem]) -> Iterator[list[dict]]:
    """Rows of INDEX_SCHEMA without `offset` and with `image`, in plan order; bad images go to `skipped`."""
    batch: list[dict] = []
    for position, item in enumerate(task.items.to_pylist()):
        data = task.reader.read(item["file"], item["offset"], item["length"])
        try:
            batch.append(_row(task, position, item, data))
        except BadImageError as error:
            skipped.append(SkippedItem(item["key"], str(error)))
            _leave_out(task, folder, item, data, error, len(skipped))
        if len(batch) == _BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _leave_out(task: ShardTask, folder: Path, item: dict, data: bytes, error: BadImageError, count: int) -> None:
    if task.on_bad == "fail":
        raise UserError(
            f"{item['key']} (in {item['file']}) cannot be converted: {error}; replace the file, "
            "or say --on-bad skip or --on-bad quarantine"
        ) from error
    if count > task.bad_max:
        raise UserError(
            f"more than --max-bad {task.bad_max} images cannot be converted, the last is {item['key']}: {error}; "
            "is the source damaged?"
        ) from error
    if task.on_bad == "quarantine":
        name, quarantine = file_name_of(item["key"]), task.output / QUARANTINE_NAME
        (folder / name).write_bytes(data)  # what a kill leaves there is cleared away by the next run
        sync_file(folder / name)
        make_folder(quarantine)
        move_synced((name,), folder, quarantine)


def _row(task: ShardTask, position: int, item: dict, data: bytes) -> dict:
    payload = encode.encode(data, task.encoding, task.check)
    if len(payload.data) > payload_bytes_max(task.layout):
        raise BadImageError(f"{len(payload.data):,} bytes when encoded, more than a MindRecord page holds")
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
