"""`python -m convert verify`: is a dataset still what its manifest says?"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import tyro
from tqdm import tqdm

from convert import processors
from convert.dataset import Dataset
from convert.dataset.index import INDEX_NAME, logical_digest
from convert.dataset.manifest import MANIFEST_NAME, QUARANTINE_NAME, STAGING_NAME, Manifest, is_sealed
from convert.dataset.mindrecord import DB_SUFFIX, read_db
from convert.durable_files import sha256_file
from convert.entries import is_rubbish
from convert.errors import UserError, require_at_least
from convert.image.decode import libjpeg_warning
from convert.job import worker_pool


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
        elif decode and manifest.encoding.traits.is_jpeg and (why := libjpeg_warning(payload.tobytes())):
            faults.append(f"{shard.name}: the image {key} does not decode ({why})")
    return faults


_CHECKED = ["id", "key", "label", "offset", "length", "height", "width", "crc32"]
"""Columns of the index that a shard is checked by."""
_PRELOAD = ("numpy", "cv2", "simplejpeg", "convert.verify")


@dataclass(frozen=True)
class VerifyOptions:
    """Check a dataset directory against its manifest; exit 0 only when nothing is wrong."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """The dataset directory."""
    quick: bool = False
    """Only what needs no reading of shards: names, sizes, the manifest and the index."""
    decode: bool = False
    """Decode every JPEG as well, which takes ten times as long."""
    workers: int = field(default_factory=processors.usable_processors)
    """Worker processes."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "workers")


@dataclass(frozen=True)
class Checked:
    """What a check found, and what it cost."""

    manifest: Manifest
    faults: tuple[str, ...]
    foreign: tuple[str, ...]
    """Names in the folder that are not of the dataset, hidden ones and systems' own left out."""
    read_bytes: int
    """Of shards."""
    cpu_s: float
    """CPU time of the workers without their start, seconds."""


def verify(options: VerifyOptions) -> int:
    """Check; prints every fault found; returns the exit status."""
    checked = check_dataset(options)
    manifest, faults = checked.manifest, checked.faults
    if faults:
        beside = [f"{name} does not belong to the dataset" for name in checked.foreign[:20]]
        listed = "\n".join(f"  {line}" for line in (*faults[:50], *beside))
        more = f"\n  and {len(faults) - 50} more" if len(faults) > 50 else ""
        counted = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
        raise UserError(
            f"{options.dataset} is damaged, {counted}:\n{listed}{more}\nrestore these files or convert again"
        )
    if checked.foreign:
        raise UserError(
            f"{options.dataset} is whole, but {', '.join(checked.foreign[:20])} does not belong to the dataset: move it elsewhere"
        )
    how = "names, sizes and index" if options.quick else "every byte"
    print(f"{options.dataset} is whole: {manifest.rows:,} images in {len(manifest.shards)} shards ({how} checked)")
    if checked.cpu_s:
        megabytes = checked.read_bytes / 1e6
        print(f"read {megabytes:,.0f} MB at {megabytes / checked.cpu_s:,.0f} MB per core-second")
    return 0


def check_dataset(options: VerifyOptions) -> Checked:
    """Look for faults; the shards are read only if manifest, index and file sizes are sound.

    Raises:
        UserError: there is no manifest or index to check by.
    """
    dataset = Dataset(options.dataset, map_shards=False)
    manifest, index = dataset.manifest, dataset.index
    own = _own_names(manifest)
    foreign = tuple(
        sorted(path.name for path in options.dataset.iterdir() if path.name not in own and not is_rubbish(path.name))
    )
    faults = [*_file_faults(options.dataset, manifest), *_index_faults(dataset)]
    if not is_sealed(options.dataset):
        faults.append(f"{MANIFEST_NAME} has been edited since it was written")
    if not options.quick and logical_digest(index) != manifest.logical_digest:
        faults.append(f"{MANIFEST_NAME}: its logical_digest is not that of {INDEX_NAME}")
    if faults or options.quick:
        return Checked(manifest, tuple(faults), foreign, 0, 0.0)
    faults, cpu_s = _shard_faults(options, manifest, index)
    return Checked(manifest, tuple(faults), foreign, sum(shard.data_bytes for shard in manifest.shards), cpu_s)


def _file_faults(directory: Path, manifest: Manifest) -> Iterator[str]:
    for shard in manifest.shards:
        for name, size in ((shard.name, shard.data_bytes), (shard.name + DB_SUFFIX, shard.db_bytes)):
            path = directory / name
            if not path.is_file():
                yield f"{name} is missing"
            elif path.stat().st_size != size:
                yield f"{name} has {path.stat().st_size:,} bytes, the manifest says {size:,}"


def _own_names(manifest: Manifest) -> set[str]:
    shards = {name for shard in manifest.shards for name in (shard.name, shard.name + DB_SUFFIX)}
    return {MANIFEST_NAME, INDEX_NAME, STAGING_NAME, *([QUARANTINE_NAME] if manifest.skipped else []), *shards}


def _index_faults(dataset: Dataset) -> Iterator[str]:
    manifest = dataset.manifest
    for name, column in (("payload_bytes", "length"), ("source_bytes", "source_bytes")):
        total = int(dataset.column(column).sum())
        if total != getattr(manifest, name):
            yield f"{MANIFEST_NAME}: {name} is {getattr(manifest, name)}, the index adds up to {total}"
    wanted = np.repeat(np.arange(len(manifest.shards)), [shard.rows for shard in manifest.shards])
    if not np.array_equal(dataset.column("shard"), wanted):
        yield f"{INDEX_NAME}: its rows per shard are not those of {MANIFEST_NAME}"
    lengths = dataset.column("length")
    for row in np.flatnonzero(~manifest.encoding.sizes_fit(lengths, dataset.heights, dataset.widths))[:5]:
        size = f"{dataset.widths[row]}x{dataset.heights[row]}"
        yield f"{INDEX_NAME}: {dataset.key(row)} has {lengths[row]} bytes, not those of {size} in {manifest.encoding.name}"


def _shard_faults(options: VerifyOptions, manifest: Manifest, index: pa.Table) -> tuple[list[str], float]:
    index = index.select(_CHECKED)
    starts = np.cumsum([0, *(shard.rows for shard in manifest.shards)])
    faults: list[str] = []
    cpu_s = 0.0
    with (
        worker_pool.process_pool(
            min(options.workers, len(manifest.shards)), _PRELOAD, "Say fewer --workers"
        ) as executor,
        tqdm(total=sum(s.data_bytes for s in manifest.shards), unit="B", unit_scale=True, disable=None) as bar,
    ):
        pending = {}
        for number, shard in enumerate(manifest.shards):
            # a slice would be pickled with the buffers of the whole index
            rows = index.slice(int(starts[number]), shard.rows).take(np.arange(shard.rows))
            task = (check_shard, options.dataset, manifest, number, rows, options.decode)
            pending[executor.submit(worker_pool.timed, *task)] = shard
        for future in as_completed(pending):
            checked = future.result()
            faults += checked.result
            cpu_s += checked.cpu_s
            bar.update(pending[future].data_bytes)
    return sorted(faults), cpu_s
