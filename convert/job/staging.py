"""The staging folder of a conversion: whose work lies in it, and who may go on with it.

OUT/.staging/plan.json          what is being made: options, source, versions
OUT/.staging/lock               held by the one run that works here; the system drops it with the process
OUT/.staging/shard-00007.parquet   commit mark of a finished shard (convert.job.staging)
OUT/.staging/work-00009-...     a shard in the making; rubbish once no run is active
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from convert.dataset.index import INDEX_NAME
from convert.dataset.manifest import MANIFEST_NAME, STAGING_NAME, ShardEntry, SkippedItem
from convert.dataset.mindrecord import DB_SUFFIX
from convert.durable_files import leftovers, make_folder, published, require_utf8, sync_path
from convert.errors import UserError
from convert.json_fields import from_json, parse_object, write_json

PLAN_NAME = "plan.json"
LOCK_NAME = "lock"
WORK_PREFIX = "work-"
"""Of the folders where shards are being made."""
_PATH_BYTES_MAX = 384
"""Of the output's path: SQLite, which writes the shards' indexes, takes 512 bytes with the work folder's and the file's name."""


def differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """What distinguishes two plans, one phrase per field."""
    return [
        f"{name} was {found.get(name)!r}, now {wanted.get(name)!r}"
        for name in sorted({*wanted, *found})
        if wanted.get(name) != found.get(name)
    ]


def is_finished(output: Path) -> bool:
    """Whether a folder holds a dataset.

    Raises:
        UserError: that cannot be looked up.
    """
    try:
        return (output / MANIFEST_NAME).is_file()
    except OSError as error:
        raise UserError(f"cannot look into {output} ({error.strerror}): name a folder that can be written") from error


def check_output(output: Path) -> None:
    """Refuse a place where no conversion can begin or go on.

    Raises:
        UserError: it is a file or below one, its path is too long, or it is a folder that holds something else.
    """
    require_utf8(output)
    for place in (output, *output.absolute().parents):
        if place.exists() and not place.is_dir():
            raise UserError(f"{place} is a file: name a folder for the dataset")
    if len(os.fsencode(output.absolute())) > _PATH_BYTES_MAX:
        raise UserError(
            f"the path {output} is longer than the {_PATH_BYTES_MAX} bytes that MindRecord can work in: name another folder"
        )
    if output.is_dir() and not (output / STAGING_NAME).is_dir() and any(output.iterdir()):
        raise UserError(f"{output} is neither empty nor a conversion begun earlier: name an empty or a new folder")


@contextmanager
def opened(output: Path, plan: dict[str, Any]) -> Iterator[None]:
    """Hold the staging folder for this run; what an earlier run left of the same plan is kept.

    Args:
        output: the dataset directory; made if missing.
        plan: everything that the output is a function of; JSON values.

    Raises:
        UserError: another run is active, the output is not empty, or staged work is of another plan.
    """
    check_output(output)
    staging = output / STAGING_NAME
    try:
        make_folder(staging)
    except OSError as error:
        raise UserError(f"cannot make {staging} ({error.strerror}): name a folder that can be written") from error
    with _locked(output):
        if is_finished(output):
            raise UserError(f"another run has finished {output} meanwhile: run the command again to compare")
        with writing(output):
            _keep_plan(staging, plan)
            for rubbish in staging.glob(f"{WORK_PREFIX}*"):
                shutil.rmtree(rubbish)
            _remove_unpublished(output)
        yield
        if is_finished(output):
            with writing(output):
                _remove(output)


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """Turn the system's refusals to write below `output` into a UserError; nothing else belongs in the block."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{output} cannot be written ({error}): put it right and run the same command again") from error


def clear(output: Path) -> None:
    """Remove what a run left that died between its manifest and its end; `output` is a finished dataset."""
    if (output / STAGING_NAME).is_dir():
        with _locked(output):
            _remove(output)
    _remove_unpublished(output)  # nobody is publishing: where there is a manifest, no run begins


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    with writing(output):
        lock = (output / STAGING_NAME / LOCK_NAME).open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"another run is converting into {output}: wait for it or stop it") from error
        except OSError as error:
            raise UserError(
                f"files in {output} cannot be locked ({error.strerror}): name a folder elsewhere"
            ) from error
        yield


def _remove(output: Path) -> None:
    shutil.rmtree(output / STAGING_NAME)
    sync_path(output)


def _remove_unpublished(output: Path) -> None:
    """Remove what is left of an index or a manifest whose writer was killed."""
    for name in (INDEX_NAME, MANIFEST_NAME):
        for path in leftovers(output / name):
            path.unlink()


def _keep_plan(staging: Path, plan: dict[str, Any]) -> None:
    path = staging / PLAN_NAME
    if not path.is_file():
        write_json(path, plan)
        return
    try:
        found = parse_object(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): remove {staging.parent} and convert again") from error
    # through JSON, so that tuples compare equal to lists
    if changed := differences(json.loads(json.dumps(plan)), found):
        raise UserError(
            f"{staging.parent} holds an unfinished conversion with other settings ({'; '.join(changed)}): "
            "run it again with those, or name another folder"
        )


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
    with pq.ParquetFile(path) as file:
        table = file.read(use_threads=False)
    metadata = table.schema.metadata or {}
    return ShardRecord(
        from_json(ShardEntry, json.loads(metadata[b"entry"])),
        table.replace_schema_metadata(None),
        from_json(tuple[SkippedItem, ...], json.loads(metadata[b"skipped"])),
    )


PROGRESS_NAME = "progress.json"
_SECONDS = 0.5


class Progress:
    """Tells how far a shard is and who works on it."""

    def __init__(self, folder: Path, shard: int) -> None:
        self._path = folder / PROGRESS_NAME
        self._shard = shard
        self._next = 0.0
        self.report(0)

    def report(self, images_done: int) -> None:
        """Write the count, at most twice a second."""
        if time.monotonic() >= self._next:
            state = {"shard": self._shard, "pid": os.getpid(), "images": images_done}
            temporary = self._path.with_suffix(".tmp")
            temporary.write_text(json.dumps(state))
            temporary.replace(self._path)
            self._next = time.monotonic() + _SECONDS


def states(output: Path) -> list[dict[str, int]]:
    """What the workers last told: shard, pid, images (done of that shard)."""
    found = []
    for path in (output / STAGING_NAME).glob(f"{WORK_PREFIX}*/{PROGRESS_NAME}"):
        try:
            found.append(json.loads(path.read_text()))
        except (OSError, ValueError):  # gone or replaced this moment; NFS calls it a stale handle, or shows it half
            continue
    return found
