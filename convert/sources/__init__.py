"""ImageNet as people have it; every packaging becomes the same listing of items."""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from convert.dataset.classes import TableClass
from convert.entries import Account, Entry, EntryKind, is_compressed, kind_of, refuse_unreadable, walk
from convert.errors import UserError
from convert.sources.base import Reader, Source
from convert.sources.folder import FolderSource
from convert.sources.labels import LabelNumbers, find_truth, lacks_class
from convert.sources.tars import TarSource, members
from convert.sources.webdataset import WebDatasetSource

__all__ = ["Kind", "Reader", "Source", "open_source", "recognise"]

Kind = Literal["folder", "flat", "tar", "parquet", "webdataset"]

_PACKAGING_OF: dict[EntryKind, Kind] = {"image": "flat", "tar": "tar", "parquet": "parquet"}
"""By the kind of the files directly in a folder."""
_MEMBERS_READ = 4096
"""Members of a tar archive that are read to recognise it."""


def recognise(path: Path) -> Kind:
    """Tell the packaging of the split at `path` by looking at it.

    Raises:
        UserError: nothing is there, nothing that is known, or several packagings in one folder.
    """
    if path.is_file():
        kind = kind_of(path.name.lstrip("."), bytes)
        if kind == "parquet":
            return "parquet"
        if kind == "tar":
            return "webdataset" if any(member.kind == "label" for member in _first_members(path)) else "tar"
        refuse_unreadable("compressed" if is_compressed(path.name) else kind or "other", str(path))
        raise UserError(f"{path} is neither a .tar nor a .parquet file: give one split as folders, tar or Parquet")
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is a pipe or a device: give a folder or a file, which can be read anywhere and again")
    if not path.is_dir():
        raise UserError(f"{path} does not exist: give the folder of one split, with one folder of images per class")
    return _recognise_folder(path)


def _first_members(path: Path) -> list[Entry]:
    return list(itertools.islice(members(path), _MEMBERS_READ))


def _recognise_folder(path: Path) -> Kind:
    first: dict[Kind, str] = {}
    for entry in sorted(walk(path, deep=False)):
        refuse_unreadable(entry.kind, str(path / entry.name))
        if entry.kind == "folder":
            if "folder" not in first and any(inside.kind == "image" for inside in walk(path / entry.name)):
                first["folder"] = entry.name
        elif entry.kind in _PACKAGING_OF:
            first.setdefault(_PACKAGING_OF[entry.kind], entry.name)
    if "tar" in first:
        name = first.pop("tar")
        first[recognise(path / name)] = name
    if len(first) > 1:
        (kind, name), (other_kind, other) = sorted(first.items())[:2]
        raise UserError(
            f"{path} holds {name} and {other}, two packagings of images: move away what does not belong to the split, "
            f"or say --source {kind} or --source {other_kind}"
        )
    if first:
        return next(iter(first))
    for entry in walk(path):
        if entry.kind in ("tar", "parquet"):
            raise UserError(
                f"{path} holds no images itself, but {entry.name}: give the folder {(path / entry.name).parent}"
            )
    return "folder"


def _is_flat(path: Path) -> bool:
    """Whether the first image among a tar file's members is a validation image in no class folder."""
    if not path.is_file():
        return False
    name = next((member.name for member in _first_members(path) if member.kind == "image"), None)
    return name is not None and lacks_class(posixpath.basename(posixpath.dirname(name)), name)


def open_source(
    path: Path,
    table: Sequence[TableClass],
    kind: Kind | None = None,
    devkit: Path | None = None,
    force_labels: bool = False,
    split: str = "",
    assumed: bool = False,
) -> Source:
    """Open the split at `path`.

    Args:
        path: a folder or a file.
        table: the classes in label order, for packagings that hold label numbers or devkit ids.
        kind: the packaging; None: recognise it.
        devkit: where the ground truth of a flat validation split is; None: look around `path`.
        force_labels: accept label numbers in another order than sorted wnids.
        split: which files of a folder of Parquet files or WebDataset shards, where it holds several splits.
        assumed: nobody has said that the table is meant.

    Raises:
        UserError: nothing is there, or nothing that is known, or its labels are.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: give the folder of one split, with one folder of images per class")
    account = Account(str(path), insisted=kind is not None)
    kind = kind or recognise(path)
    if kind in ("folder", "flat", "tar"):
        flat = kind == "flat" or (kind == "tar" and _is_flat(path))
        truth = find_truth(path, devkit, table, force_labels) if flat else None
        return (TarSource if kind == "tar" else FolderSource)(path, account, truth, force_labels)
    labels = LabelNumbers(tuple(table), force_labels, assumed)
    if kind == "webdataset":
        return WebDatasetSource(path, account, labels, split)
    from convert.sources.parquet import ParquetSource

    return ParquetSource(path, account, labels, split)
