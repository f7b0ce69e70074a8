"""The commit mark of a shard: a small Parquet file in the staging folder.

It is published after the shard and its `.db` have been synced and have got their final names. A shard without a
record does not count, whatever lies in the output folder; a shard with one is never done again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from convert.errors import UserError
from convert.files import published
from convert.manifest import STAGING_NAME, ShardEntry, SkippedItem
from convert.shards import DB_SUFFIX
from convert.typed import from_json


@dataclass(frozen=True)
class ShardRecord:
    """A finished shard: its manifest entry, its rows of the index, and what was left out."""

    entry: ShardEntry
    index_rows: pa.Table
    skipped: tuple[SkippedItem, ...]


def record_path(output: Path, index: int) -> Path:
    """Where the commit mark of a shard lies."""
    return output / STAGING_NAME / f"shard-{index:05d}.parquet"


def write_record(output: Path, index: int, record: ShardRecord) -> None:
    """Commit a shard whose files have their final names."""
    metadata = {
        b"entry": json.dumps(asdict(record.entry)).encode(),
        b"skipped": json.dumps([asdict(item) for item in record.skipped]).encode(),
    }
    with published(record_path(output, index)) as temporary:
        pq.write_table(record.index_rows.replace_schema_metadata(metadata), temporary, compression="zstd")


def read_record(output: Path, index: int) -> ShardRecord | None:
    """The record of a finished shard, or None; a record whose shard is gone or of another size does not count.

    Raises:
        UserError: the record is damaged.
    """
    path = record_path(output, index)
    if not path.is_file():
        return None
    try:
        record = _read(path)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{path} is damaged ({error}): remove it and run the same command again, which makes its shard anew"
        ) from error
    entry = record.entry
    for name, size in ((entry.name, entry.data_bytes), (entry.name + DB_SUFFIX, entry.db_bytes)):
        file = output / name
        if not file.is_file() or file.stat().st_size != size:
            return None
    return record


def _read(path: Path) -> ShardRecord:
    table = pq.read_table(path)
    metadata = table.schema.metadata or {}
    return ShardRecord(
        from_json(ShardEntry, json.loads(metadata[b"entry"])),
        table.replace_schema_metadata(None),
        from_json(tuple[SkippedItem, ...], json.loads(metadata[b"skipped"])),
    )
