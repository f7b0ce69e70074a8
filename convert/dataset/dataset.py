"""A dataset directory, opened: its description, its index, and any image of it as stored bytes or as pixels."""

from __future__ import annotations

import mmap
import operator
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from convert.dataset.index import read_index
from convert.dataset.manifest import ClassEntry, Manifest, load_manifest
from convert.errors import BadImageError, UserError
from convert.image.encode import decode_payload


class Dataset:
    """The images of one dataset directory, by row number.

    `dataset[row]` is `(rgb, label)`, so that it serves wherever a map-style dataset is wanted, PyTorch's DataLoader included:

        dataset = Dataset("imagenet/val")
        rgb, label = dataset[0]
        print(rgb.shape, dataset.classes[label].name)

    Opening reads the index once, some 100 bytes a row, and maps every shard; it reads no image. Safe to use from several
    threads. A pickled one holds the path only and opens the files again.

    Attributes:
        directory: where it lies.
        manifest: its description.
        index: the rows of index.parquet, see `convert.dataset.index.INDEX_SCHEMA`; action and reason as dictionaries.
        ids: int64 [rows], rising; row numbers, unless the converter left images out.
        labels: int32 [rows], positions in `classes`.
        heights: of the stored images in pixels, int64 [rows].
        widths: likewise.
    """

    def __init__(self, directory: str | Path, *, map_shards: bool = True) -> None:
        """Open.

        Args:
            directory: the dataset directory.
            map_shards: whether to open every shard now; otherwise each is opened when an image of it is asked for, so
                that what is left of a dataset whose shards are missing can be looked at.

        Raises:
            UserError: no dataset, or a damaged one.
        """
        self.directory = Path(directory)
        self.manifest: Manifest = load_manifest(self.directory)
        self.index: pa.Table = read_index(self.directory, self.manifest)
        self.ids: np.ndarray = self.column("id")
        self.labels: np.ndarray = self.column("label")
        self.heights: np.ndarray = self.column("height").astype(np.int64)
        self.widths: np.ndarray = self.column("width").astype(np.int64)
        self._shards, self._offsets = self.column("shard"), self.column("offset")
        self._lengths, self._crcs = self.column("length"), self.column("crc32")
        self._maps: dict[int, mmap.mmap] = {}
        if map_shards:
            self._check_bounds()
            _ = self._bases

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.directory,)

    def __len__(self) -> int:
        """The number of rows."""
        return self.manifest.rows

    def __getitem__(self, row: int) -> tuple[np.ndarray, int]:
        """One image, uint8 [H, W, 3] RGB, and its label; negative rows count from the end.

        Raises:
            IndexError: there is no such row.
            UserError: see `rgb`.
        """
        place = operator.index(row)
        if not -len(self) <= place < len(self):
            raise IndexError(f"row {place} is not in [{-len(self)}, {len(self)})")
        place %= len(self)
        return self.rgb(place), int(self.labels[place])

    @property
    def classes(self) -> tuple[ClassEntry, ...]:
        """In label order."""
        return self.manifest.classes

    def column(self, name: str) -> np.ndarray:
        """A column of numbers of the index, [rows]."""
        return self.index.column(name).to_numpy()

    def key(self, row: int) -> str:
        """`<wnid>/<file name>` of the source."""
        return self.index.column("key")[int(row)].as_py()

    def find(self, *, id: int | None = None, key: str | None = None) -> int:
        """The row with that id or that key.

        Raises:
            UserError: there is none.
        """
        name, wanted = ("key", key) if id is None else ("id", id)
        try:
            row = self.index.column(name).index(wanted).as_py()
        except (OverflowError, UnicodeEncodeError):  # no id is so large, no key has such characters
            row = -1
        if row < 0:
            raise UserError(f"no image has the {name} {wanted}; ids run from 0 on, keys look like {self.key(0)}")
        return row

    def treatments(self) -> list[tuple[str, str, int]]:
        """What the converter did, why ("" for the ordinary), and to how many images; most frequent first."""
        # counted by Arrow: ImageNet has 1.28 million rows and a handful of pairs
        counted = self.index.group_by(["action", "reason"]).aggregate([([], "count_all")]).to_pylist()
        found = [(pair["action"], pair["reason"], pair["count_all"]) for pair in counted]
        return sorted(found, key=lambda entry: (-entry[2], entry[0], entry[1]))

    def spread_rows(self, count: int) -> np.ndarray:
        """Rows of `count` images from evenly spaced places, or of all if there are fewer; int64."""
        return np.linspace(0, len(self) - 1, min(count, len(self))).astype(np.int64)

    def caption(self, row: int) -> tuple[str, str]:
        """Two short lines for below a picture: id, label and class; size, and what the converter did or why."""
        label = self.labels[row]
        action, reason = (self.index.column(name)[int(row)].as_py() for name in ("action", "reason"))
        return (
            f"{self.ids[row]}: {label} {self.classes[label].name.split(',')[0]}",
            f"{self.widths[row]}x{self.heights[row]} {reason or action}",
        )

    def describe(self, row: int) -> str:
        """Where a row lies, for messages: shard, row and key."""
        return f"{self.directory / self.manifest.shards[self._shards[row]].name}: row {row} ({self.key(row)})"

    def payload(self, row: int) -> np.ndarray:
        """The stored bytes of one image, uint8 [length]: a read-only view of the mapped shard.

        Raises:
            UserError: the shard was not opened with the dataset, and cannot be opened now.
        """
        return np.frombuffer(self._map(self._shards[row]), np.uint8, int(self._lengths[row]), int(self._offsets[row]))

    def rgb(self, row: int) -> np.ndarray:
        """One image as uint8 [H, W, 3] RGB, whatever the encoding.

        Raises:
            UserError: it is damaged, or its shard is.
        """
        self.check_present(np.array([row]))
        try:
            size = int(self.heights[row]), int(self.widths[row])
            return decode_payload(self.payload(row), self.manifest.encoding, *size)
        except BadImageError as error:
            raise UserError(
                f"{self.describe(row)} is damaged ({error}): run 'python -m convert verify {self.directory}'"
            ) from error

    def addresses(self, rows: np.ndarray) -> np.ndarray:
        """Where these rows' payloads begin in memory, uintp [B], for compiled code; valid as long as this object lives."""
        return self._bases[self._shards[rows]] + self._offsets[rows].astype(np.uintp)

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """Bytes of these rows' payloads, int64 [B]."""
        return self._lengths[rows].astype(np.int64)

    def will_need(self, rows: np.ndarray) -> None:
        """Ask the kernel to read these rows' payloads ahead; returns at once."""
        offsets = self._offsets[rows]
        starts = offsets // mmap.PAGESIZE * mmap.PAGESIZE
        lengths = offsets + self._lengths[rows] - starts
        for shard, start, length in zip(self._shards[rows].tolist(), starts.tolist(), lengths.tolist(), strict=True):
            self._map(shard).madvise(mmap.MADV_WILLNEED, start, length)

    def check_present(self, rows: np.ndarray) -> None:
        """Make sure that no shard of these rows has been cut short since it was mapped: reading it would end the process.

        Raises:
            UserError: names shard, row and key; a shard that was only removed stays readable and is not noticed.
        """
        shards, first = np.unique(self._shards[rows], return_index=True)
        for shard, place in zip(shards.tolist(), first.tolist(), strict=True):
            expected = self.manifest.shards[shard].data_bytes
            if self._map(shard).size() < expected:
                raise UserError(
                    f"{self.describe(int(rows[place]))} is gone, the shard had {expected} bytes and has "
                    f"{self._map(shard).size()} now: 'python -m convert verify {self.directory}' lists all damage; "
                    "restore the shard, or convert again"
                )

    def is_intact(self, row: int) -> bool:
        """Whether a payload still has the checksum that the converter gave it."""
        return zlib.crc32(self.payload(row).data) == self._crcs[row]

    def _map(self, shard: int) -> mmap.mmap:
        mapped = self._maps.get(shard)
        if mapped is None:
            entry = self.manifest.shards[shard]
            mapped = self._maps.setdefault(int(shard), _map_shard(self.directory / entry.name, entry.data_bytes))
        return mapped

    @cached_property
    def _bases(self) -> np.ndarray:
        """Where every shard begins in memory, uintp [shards]."""
        maps = [self._map(shard) for shard in range(len(self.manifest.shards))]
        return np.array([np.frombuffer(mapped, np.uint8).ctypes.data for mapped in maps], np.uintp)

    def _check_bounds(self) -> None:
        """Refuse an index that no conversion writes; the ranges of its values have been checked already."""
        sizes = np.array([shard.data_bytes for shard in self.manifest.shards], np.int64)
        if len(self) and (
            (self._offsets + self._lengths > sizes[self._shards]).any() or (np.diff(self.ids) <= 0).any()
        ):
            raise UserError(
                f"the index of {self.directory} has no rising ids, or points outside its shards: convert again"
            )
        encoding = self.manifest.encoding
        if not encoding.sizes_fit(self._lengths, self.heights, self.widths).all():
            raise UserError(f"the index of {self.directory} has rows that cannot be {encoding.name}: convert again")


def _map_shard(path: Path, expected_bytes: int) -> mmap.mmap:
    repair = "restore it or convert again"
    if not path.is_file():  # nor a pipe, which would be waited for
        raise UserError(f"{path} is missing: {repair}")
    try:
        with path.open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise UserError(
            f"cannot open {path} ({error.strerror}): check its permissions and the limit of open files, ulimit -n"
        ) from error
    except ValueError as error:
        raise UserError(f"{path} is empty: {repair}") from error
    if len(mapped) != expected_bytes:
        raise UserError(f"{path} has {len(mapped)} bytes, the manifest says {expected_bytes}: {repair}")
    return mapped
