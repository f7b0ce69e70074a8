"""Parquet files as Hugging Face stores imagenet-1k: columns `image` (struct of `bytes` and `path`) and `label`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from convert.dataset.classes import WNID_PATTERN, TableClass
from convert.entries import refuse_pointer
from convert.errors import UserError
from convert.sources.base import Place, Reader, Source, image_key, sorted_listing
from convert.sources.labels import LabelNumbers
from convert.sources.splits import files_of_split

_READ_BYTES, _BATCH_ROWS = 1 << 20, 64
"""A row group that is read in pieces takes 1.8 times its size in memory; read at once it takes 3.9 times."""


@dataclass(frozen=True)
class ParquetSource(Source):
    """A folder of Parquet files, or one file."""

    labels: LabelNumbers
    split: str = ""
    """Which files of the folder, where it holds several splits."""

    def listing(self) -> pa.Table:
        """All images, sorted by key; a row group is a block."""
        return sorted_listing(self.account, self._places())

    def reader(self) -> Reader:
        """A reader of row groups, one at a time."""
        return ParquetReader(self.path if self.path.is_dir() else self.path.parent)

    def notes(self) -> list[str]:
        """Also whether the meaning of the labels was guessed."""
        return [*super().notes(), *self.labels.notes()]

    def _places(self) -> Iterator[Place]:
        block = 0
        for path in files_of_split(self.path, "parquet", self.split, self.account):
            file = _open(path)
            own = self._own_classes(path, file)
            rows = 0
            for group in range(file.num_row_groups):
                paths, labels = _paths_and_labels(path, file, group, rows)
                names = [name or f"{path.stem}_{rows + row}.JPEG" for row, name in enumerate(paths)]
                wnids = self.labels.wnids(path, labels, names, own)
                for row, (name, wnid) in enumerate(zip(names, wnids, strict=True)):
                    yield Place(image_key(wnid, name), wnid, path.name, rows + row, -1, block)
                rows += len(names)
                block += 1

    def _own_classes(self, path: Path, file: pq.ParquetFile) -> tuple[TableClass, ...]:
        """The classes in label order if the file names their wnids itself, or names those of the table; else none."""
        names = _class_names(path, file)
        if names and all(map(WNID_PATTERN.fullmatch, names)):
            if len(set(names)) < len(names):
                raise UserError(f"the metadata of {path} gives two classes one wnid: get it anew")
            return tuple(TableClass(name, 0, name) for name in names)
        if names and not self.labels.force:
            _refuse_other_names(path, names, self.labels.table)
            self.labels.assumed = False
        return ()


def _open(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path, buffer_size=_READ_BYTES, pre_buffer=False)
    except (OSError, UnicodeError, pa.ArrowException) as error:
        refuse_pointer(path)
        raise UserError(f"{path} is not a Parquet file ({error}): get it anew") from error
    _check_columns(path, file)
    return file


def _check_columns(path: Path, file: pq.ParquetFile) -> None:
    columns = {file.metadata.schema.column(index).path for index in range(file.metadata.num_columns)}
    missing = sorted({"image.bytes", "image.path", "label"} - columns)
    missing += [name for name in ("image", "label") if file.schema_arrow.names.count(name) != 1]
    if missing:
        raise UserError(
            f"{path} has no column {missing[0]}, or several: it is not a split of images as Hugging Face stores them"
        )
    image, label = (file.schema_arrow.field(name).type for name in ("image", "label"))
    for name, kind, wanted in (
        ("image.bytes", image.field("bytes").type, (pa.types.is_binary, pa.types.is_large_binary)),
        ("image.path", image.field("path").type, (pa.types.is_string, pa.types.is_large_string, pa.types.is_null)),
        ("label", label, (pa.types.is_integer,)),
    ):
        if not any(is_kind(kind) for is_kind in wanted):
            raise UserError(
                f"the column {name} of {path} is of type {kind}: images are bytes, paths are strings and labels are "
                "class numbers where Hugging Face stores images"
            )


def _paths_and_labels(
    path: Path, file: pq.ParquetFile, group: int, first_row: int
) -> tuple[list[str | None], list[int]]:
    try:
        found = file.read_row_group(group, columns=["image.path", "label"], use_threads=False)
        paths = pa.chunked_array(found.column("image").combine_chunks().field("path")).to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"row group {group} of {path} cannot be read ({error}): get the file anew") from error
    if _lacks_bytes(file, group):
        raise UserError(
            f"row {first_row} of {path} and those behind it have a path, such as {paths[0]}, but no bytes: its images are in files "
            "elsewhere; embed them, or give the folder that holds them"
        )
    labels = found.column("label").to_pylist()
    if None in labels:
        raise UserError(f"row {first_row + labels.index(None)} of {path} has no label: remove it, or get the file anew")
    return paths, labels


def _lacks_bytes(file: pq.ParquetFile, group: int) -> bool:
    """Whether none of a row group's rows holds an image, as far as its statistics tell."""
    found = file.metadata.row_group(group)
    columns = (found.column(index) for index in range(found.num_columns))
    statistics = next(column.statistics for column in columns if column.path_in_schema == "image.bytes")
    return statistics is not None and 0 < found.num_rows == statistics.null_count


def _class_names(path: Path, file: pq.ParquetFile) -> list[str]:
    """The names that the file's metadata gives its classes, in label order; none if it gives none."""
    metadata = file.schema_arrow.metadata or {}
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
        return [name.strip() for name in features.get("label", {}).get("names") or []]
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise UserError(
            f"the metadata 'huggingface' of {path}, which names the classes, cannot be read ({error}): get it anew"
        ) from error


def _refuse_other_names(path: Path, names: list[str], table: Sequence[TableClass]) -> None:
    """Raise UserError if the file's own names say that its label numbers are not those of the table."""
    if len(names) != len(table):
        raise UserError(
            f"{path} names {len(names):,} classes, the table has {len(table):,}: say --classes FILE.tsv with the wnids of its "
            "classes, or --force-labels if its label numbers are the table's all the same"
        )
    own, known = _label_of_name(names), _label_of_name([entry.name for entry in table])
    common = own.keys() & known.keys()
    differing = sorted(name for name in common if own[name] != known[name])
    if 2 * len(differing) > len(common):
        name = differing[0]
        raise UserError(
            f"{path} numbers its classes in another order than the table ({name} is {own[name]} there, {known[name]} here; "
            f"{len(differing):,} of {len(common):,} differ): say --classes FILE.tsv with the wnids in its order, and "
            "--force-labels"
        )


def _label_of_name(names: list[str]) -> dict[str, int]:
    """Label of each first synonym that only one class has."""
    first = [name.split(",")[0].lower() for name in names]
    count = Counter(first)
    return {name: label for label, name in enumerate(first) if count[name] == 1}


@dataclass
class ParquetReader:
    """Reads images by file and row number; keeps the row group that it read last."""

    root: Path
    _file: pq.ParquetFile | None = field(default=None, repr=False)
    _name: str = ""
    _starts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    _group: int = -1
    _images: pa.ChunkedArray | None = field(default=None, repr=False)

    def read(self, file: str, offset: int, length: int) -> bytes:
        """The image of row `offset`; `length` is unknown to the listing."""
        del length
        path = self.root / file
        opened = self._file
        try:
            if file != self._name or opened is None:
                opened = self._file = _open(path)
                self._name, self._group = file, -1
                sizes = [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)]
                self._starts = np.concatenate([[0], np.cumsum(sizes)])
            group = int(np.searchsorted(self._starts, offset, side="right")) - 1
            images = self._images
            if images is None or group != self._group:
                self._images = None  # one row group at a time
                batches = opened.iter_batches(_BATCH_ROWS, [group], ["image.bytes"], use_threads=False)
                self._images = images = pa.chunked_array([batch.column("image").field("bytes") for batch in batches])
                self._group = group
            data = images[offset - int(self._starts[group])].as_py()
        except (OSError, IndexError, pa.ArrowException) as error:
            raise UserError(f"cannot read row {offset} of {path} ({error}): get it anew") from error
        return data or b""
