"""All faults of one shard, found by one process of `verify`."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from convert import decoding
from convert.errors import UserError
from convert.files import sha256_file
from convert.manifest import Manifest
from convert.shards import DB_SUFFIX, read_db


def check_shard(directory: Path, manifest: Manifest, number: int, rows: pa.Table, decode: bool) -> list[str]:
    """All faults of one shard: hashes, its `.db` against the index, every payload's CRC-32, perhaps its pixels.

    Args:
        directory: the dataset directory.
        manifest: its manifest.
        number: of the shard.
        rows: the shard's rows of the index.
        decode: whether to decode every JPEG.
    """
    try:
        return _faults(directory, manifest, number, rows, decode)
    except OSError as error:
        return [f"{manifest.shards[number].name} or its {DB_SUFFIX} cannot be read ({error.strerror})"]


def _faults(directory: Path, manifest: Manifest, number: int, rows: pa.Table, decode: bool) -> list[str]:
    shard = manifest.shards[number]
    path = directory / shard.name
    database = directory / (shard.name + DB_SUFFIX)
    faults = []
    if sha256_file(path) != shard.data_sha256:
        faults.append(f"{shard.name}: its SHA-256 differs from the manifest's")
    if sha256_file(database) != shard.db_sha256:
        faults.append(f"{database.name}: its SHA-256 differs from the manifest's")
    try:
        table = read_db(database)
    except UserError as error:
        return [*faults, str(error)]
    found = {
        "id": table.id,
        "label": table.label,
        "height": table.height,
        "width": table.width,
        "offset": table.offsets(manifest.layout),
        "length": table.lengths(),
    }
    if len(table.id) != rows.num_rows:
        return [*faults, f"{database.name} has {len(table.id)} rows, the index {rows.num_rows}"]
    for name, values in found.items():
        if not np.array_equal(values, rows.column(name).to_numpy()):
            faults.append(f"{database.name}: its column {name} differs from the index")
    shard_bytes = np.memmap(path, np.uint8, "r")
    columns = [rows.column(name).to_pylist() for name in ("offset", "length", "crc32", "key")]
    for offset, length, crc32, key in zip(*columns, strict=True):
        payload = shard_bytes[offset : offset + length]
        if zlib.crc32(payload.data) != crc32:
            faults.append(f"{shard.name}: the image {key} is damaged (its CRC-32 differs)")
        elif decode and manifest.encoding.name != "yuv420" and (why := decoding.libjpeg_warning(payload.tobytes())):
            faults.append(f"{shard.name}: the image {key} does not decode ({why})")
    return faults
