"""ImageNet as people have it; every packaging becomes the same listing of items."""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from convert.dataset.classes import TableClass
from convert.errors import UserError
from convert.sources.base import IMAGE_SUFFIXES, Reader, Source, visible
from convert.sources.folder import FlatSource, FolderSource, image_files
from convert.sources.labels import find_truth, lacks_class
from convert.sources.tars import TarSource, is_image, members, refuse_compressed
from convert.sources.webdataset import LABEL_SUFFIX, WebDatasetSource

__all__ = ["Kind", "Reader", "Source", "open_source", "recognise"]

Kind = Literal["folder", "flat", "tar", "parquet", "webdataset"]

_PACKAGING_OF: dict[str, Kind] = {".parquet": "parquet", ".tar": "tar", **dict.fromkeys(IMAGE_SUFFIXES, "flat")}
"""By the suffix of the files in a folder."""
_LOOKED_AT = 64
"""Members of a tar archive that are looked at to recognise it."""


def recognise(path: Path) -> Kind:
    """Tell the packaging of the split at `path` by looking at it.

    Raises:
        UserError: nothing is there, nothing that is known, or several packagings in one folder.
    """
    if path.is_file():
        if path.suffix.lower() == ".parquet":
            return "parquet"
        if path.suffix.lower() == ".tar":
            names = [member.name for member in itertools.islice(members(path), _LOOKED_AT)]
            return "webdataset" if any(name.endswith(LABEL_SUFFIX) for name in names) else "tar"
        refuse_compressed(path.name, str(path))
        raise UserError(f"{path} is neither a .tar nor a .parquet file: give one split as folders, tar or Parquet")
    if not path.is_dir():
        raise UserError(f"{path} does not exist: give the folder of one split, with one folder of images per class")
    return _recognise_folder(path)


def _recognise_folder(path: Path) -> Kind:
    first: dict[Kind, str] = {}
    others: list[str] = []
    for entry in visible(path):
        kind = "folder" if entry.is_dir() else _PACKAGING_OF.get(Path(entry.name).suffix.lower())
        if kind is None:
            others.append(entry.name)
        elif kind in first:
            continue
        elif kind != "folder" or any(image_files(Path(entry.path))):  # a folder of something else is no class
            first[kind] = entry.name
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
    for name in others:
        refuse_compressed(name, str(path / name))
    return "folder"


def _is_flat(path: Path) -> bool:
    """Whether the first image among a tar file's members is a validation image in no class folder."""
    if not path.is_file():
        return False
    names = (member.name for member in itertools.islice(members(path), _LOOKED_AT))
    name = next(filter(is_image, names), None)
    return name is not None and lacks_class(posixpath.basename(posixpath.dirname(name)), name)


def open_source(
    path: Path,
    table: Sequence[TableClass],
    kind: Kind | None = None,
    devkit: Path | None = None,
    force_labels: bool = False,
    split: str = "",
) -> Source:
    """Open the split at `path`.

    Args:
        path: a folder or a file.
        table: the classes in label order, for packagings that hold label numbers or devkit ids.
        kind: the packaging; None: recognise it.
        devkit: where the ground truth of a flat validation split is; None: look around `path`.
        force_labels: accept label numbers in another order than sorted wnids.
        split: which files of a folder of Parquet files or WebDataset shards, where it holds several splits.

    Raises:
        UserError: nothing is there, or nothing that is known, or its labels are.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: give the folder of one split, with one folder of images per class")
    kind = kind or recognise(path)
    if kind == "folder":
        return FolderSource(path)
    if kind == "flat":
        return FlatSource(path, find_truth(path, devkit, table, force_labels))
    if kind == "tar":
        return TarSource(path, find_truth(path, devkit, table, force_labels) if _is_flat(path) else None)
    if kind == "webdataset":
        return WebDatasetSource(path, tuple(table), force_labels, split)
    from convert.sources.parquet import ParquetSource

    return ParquetSource(path, tuple(table), force_labels, split)
