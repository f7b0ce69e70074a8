"""`index.parquet`: one row per image of a dataset, in id order; which bytes of which shard are its payload.

Like the manifest, part of the contract between conversion and training, and free of MindSpore and OpenCV.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from convert.dataset.manifest import MANIFEST_NAME, Manifest
from convert.durable_files import published, sha256_file
from convert.errors import UserError

INDEX_NAME = "index.parquet"

INDEX_SCHEMA = pa.schema(
    [
        ("id", pa.int64()),  # position in the plan order: the row number, unless images were skipped (gaps remain)
        ("key", pa.string()),  # "<wnid>/<file name>", the same in every packaging
        ("label", pa.int32()),  # index into Manifest.classes
        ("shard", pa.int32()),  # index into Manifest.shards
        ("offset", pa.int64()),  # where the payload starts in the shard file, bytes
        ("length", pa.int32()),  # payload size, bytes
        ("height", pa.int32()),  # stored image, pixels
        ("width", pa.int32()),
        ("source_bytes", pa.int64()),  # size of the file the image came from
        ("crc32", pa.uint32()),  # zlib.crc32 of the payload
        ("action", pa.string()),  # what the converter did: kept | encoded | re-encoded ...
        ("reason", pa.string()),  # why, "" when nothing special
    ]
)

_REPEATED = ["action", "reason"]
_READ_SCHEMA = pa.schema(
    [f.with_type(pa.dictionary(pa.int32(), f.type)) if f.name in _REPEATED else f for f in INDEX_SCHEMA]
)


def logical_digest(index: pa.Table) -> str:
    """SHA-256 over `key TAB label TAB length TAB crc32 TAB` of all rows, in the order of their keys."""
    rows = index.select(["key", "label", "length", "crc32"]).sort_by("key")
    columns = [column.cast(pa.string()) for column in rows.columns]
    lines = pc.call_function("binary_join_element_wise", [*columns, pa.scalar(""), pa.scalar("\t")])
    digest = hashlib.sha256()
    for chunk in lines.chunks:
        _, offsets, text = chunk.buffers()
        first, last = np.frombuffer(offsets, np.int32)[[chunk.offset, chunk.offset + len(chunk)]]
        digest.update(memoryview(text)[first:last])
    return digest.hexdigest()


def write_index(directory: Path, table: pa.Table) -> str:
    """Publish `index.parquet` (INDEX_SCHEMA, rows in id order); returns its SHA-256."""
    with published(directory / INDEX_NAME) as temporary:
        pq.write_table(table.cast(INDEX_SCHEMA), temporary, compression="zstd")
    return sha256_file(directory / INDEX_NAME)


def read_index(directory: Path, manifest: Manifest) -> pa.Table:
    """Read `index.parquet` once, check its hash and its values; the strings that repeat come as dictionaries.

    Raises:
        UserError: the index is missing, is not the one that the manifest was written for, or holds impossible values.
    """
    path = directory / INDEX_NAME
    if not path.is_file():
        raise UserError(f"{path} is missing: restore it or convert again")
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != manifest.index_sha256:
            raise UserError(
                f"{path} is not the index that {MANIFEST_NAME} names (its SHA-256 differs): restore it or convert again"
            )
        with pq.ParquetFile(pa.BufferReader(content), read_dictionary=_REPEATED) as file:
            if not file.schema_arrow.equals(_READ_SCHEMA):
                raise UserError(f"{path} has other columns than {', '.join(INDEX_SCHEMA.names)}: convert again")
            # no threads of Arrow's: one that is still ending when the interpreter exits aborts the process
            table = file.read(use_threads=False).unify_dictionaries()
    except pa.ArrowException as error:
        raise UserError(f"{path} is no Parquet file ({error}): restore it or convert again") from error
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror or error}): put it right, or restore the file") from error
    if table.num_rows != manifest.rows:
        raise UserError(
            f"{path} has {table.num_rows} rows, the manifest says {manifest.rows}: restore it or convert again"
        )
    _check_values(path, manifest, table)
    pa.default_memory_pool().release_unused()
    return table


def _check_values(path: Path, manifest: Manifest, table: pa.Table) -> None:
    """Refuse values that no conversion writes, in the columns that were read: nobody who uses them need look again."""
    many = 1 << 62
    ranges = {
        "label": (0, len(manifest.classes)),
        "shard": (0, len(manifest.shards)),
        "offset": (0, many),
        "length": (0, many),
        "height": (1, many),
        "width": (1, many),
    }
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count:
            raise UserError(f"{path} has rows without {name}: restore it or convert again")
        if name in ranges and len(column):
            least, most = pc.call_function("min_max", [column]).as_py().values()
            low, high = ranges[name]
            if least < low or most >= high:
                raise UserError(
                    f"{path} is damaged: {name} runs from {least} to {most}, must be in [{low}, {high}); restore it or convert again"
                )
