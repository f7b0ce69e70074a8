"""The contract between conversion and training: what a dataset directory holds, as `manifest.json` tells it.

A dataset directory is

    manifest.json           written last: no manifest, no dataset
    index.parquet           one row per image, in id order (convert.dataset.index)
    train.mindrecord000     standard MindRecord shards, each with its SQLite `.db`
    train.mindrecord000.db

This module imports neither MindSpore nor OpenCV, so that anything may read a dataset's description.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.durable_files import require_utf8
from convert.entries import walk
from convert.errors import UserError
from convert.image.encoding import Encoding
from convert.json_fields import from_json, parse_object, write_json

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
STAGING_NAME = ".staging"
"""Folder of an unfinished conversion, see convert.job.staging."""
QUARANTINE_NAME = "quarantine"
"""Folder for source files that could not be converted, if the user wanted them kept."""

_SEAL = "manifest_sha256"
_NAME_BYTES_MAX = 240
"""Of a shard's name: file systems take 255 bytes, its index needs a few more."""


@dataclass(frozen=True)
class ClassEntry:
    """One class; its label is its position in `Manifest.classes`."""

    wnid: str
    name: str


@dataclass(frozen=True)
class ShardEntry:
    """One MindRecord file and its SQLite index, as they were when published."""

    name: str
    """File name inside the dataset directory; the index is `name + ".db"`."""
    rows: int
    data_bytes: int
    data_sha256: str
    db_bytes: int
    db_sha256: str

    def __post_init__(self) -> None:
        plain = Path(self.name).name == self.name and self.name not in ("", ".", "..") and self.name.isprintable()
        if not plain or len(os.fsencode(self.name)) > _NAME_BYTES_MAX:
            raise ValueError(f"a shard's name must be a plain file name, got {reprlib.repr(self.name)}")
        for field, lowest in (("rows", 1), ("data_bytes", 0), ("db_bytes", 0)):
            if getattr(self, field) < lowest:
                raise ValueError(f"{field} of {self.name} must be at least {lowest}, got {getattr(self, field)}")


@dataclass(frozen=True)
class SkippedItem:
    """A source image that was left out, and why."""

    key: str
    reason: str


@dataclass(frozen=True)
class Layout:
    """MindRecord's page layout, the same for all shards."""

    header_bytes: int
    page_bytes: int

    def __post_init__(self) -> None:
        if self.header_bytes < 0 or self.page_bytes < 1:
            raise ValueError(f"header_bytes must be at least 0 and page_bytes at least 1, got {self}")


@dataclass(frozen=True)
class Manifest:
    """What a dataset directory holds; everything in it is a function of the source and the options."""

    split: str
    """Name of the split, such as "train"; also the shards' file name prefix."""
    encoding: Encoding
    seed: int
    """Of the shuffle that put the images in id order."""
    classes: tuple[ClassEntry, ...]
    """In label order (sorted wnids)."""
    shards: tuple[ShardEntry, ...]
    layout: Layout
    rows: int
    payload_bytes: int
    source_bytes: int
    index_sha256: str
    logical_digest: str
    """See `convert.dataset.index.logical_digest`: equal for equal contents, whatever packaging they came in and whatever the order."""
    skipped: tuple[SkippedItem, ...]
    versions: dict[str, str]
    """Of the converter, MindSpore, OpenCV and numpy that wrote it."""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.rows != sum(shard.rows for shard in self.shards):
            raise ValueError(f"rows is {self.rows}, but the shards' rows add up to {sum(s.rows for s in self.shards)}")
        for what, names in (("shard", [s.name for s in self.shards]), ("class", [c.wnid for c in self.classes])):
            if len(set(names)) < len(names):
                raise ValueError(f"a {what} is listed twice")


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Publish the manifest: from here on `directory` is a dataset."""
    fields = dataclasses.asdict(manifest)
    fields[_SEAL] = _seal(fields)
    write_json(directory / MANIFEST_NAME, fields)


def _seal(fields: dict[str, Any]) -> str:
    """SHA-256 over all fields but the seal itself."""
    others = {name: value for name, value in fields.items() if name != _SEAL}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def is_sealed(directory: Path) -> bool:
    """Whether the manifest is as it was written: an edited one may still load."""
    fields = json.loads((directory / MANIFEST_NAME).read_bytes())
    return fields.get(_SEAL) == _seal(fields)


def load_manifest(directory: Path) -> Manifest:
    """Read and check `directory/manifest.json`.

    Raises:
        UserError: no such folder, no manifest, unreadable, or of another format version.
    """
    require_utf8(directory)
    path = directory / MANIFEST_NAME
    try:
        path.stat()
    except PermissionError as error:
        raise UserError(f"cannot look into {directory} ({error.strerror}): ask for access to it") from error
    except OSError:
        pass  # it is not there: told below
    if directory.is_file():
        above = directory.parent if directory.name == MANIFEST_NAME else f"the folder that holds {MANIFEST_NAME}"
        raise UserError(f"{directory} is a file, and a dataset is a folder: name {above}")
    if not directory.is_dir():
        raise UserError(
            f"no dataset at {directory}: the folder does not exist; make one with 'python -m convert run SRC {directory}'"
        )
    if not path.is_file():
        if (directory / STAGING_NAME).is_dir():
            raise UserError(
                f"{directory} holds an unfinished conversion: run the same 'python -m convert run' again to finish it"
            )
        if any(entry.kind in ("image", "tar", "parquet", "folder") for entry in walk(directory, deep=False)):
            raise UserError(
                f"{directory} is not a dataset, it has no {MANIFEST_NAME} but images or folders: convert them into another folder, "
                f"with 'python -m convert run {directory} OUT', and name that"
            )
        raise UserError(
            f"{directory} is not a dataset, it has no {MANIFEST_NAME}: make one with 'python -m convert run SRC {directory}'"
        )
    try:
        fields = parse_object(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): put it right, or restore the file") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}): restore it or convert again") from error
    version = fields.get("format_version")
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path} has format version {reprlib.repr(version)}, this program reads {FORMAT_VERSION}: "
            "convert again or use the program's matching version"
        )
    try:
        return from_json(Manifest, {name: value for name, value in fields.items() if name != _SEAL})
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): restore it or convert again") from error
