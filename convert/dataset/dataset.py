"""One image back out of a dataset, as it is stored and as pixels."""

from __future__ import annotations

import mmap
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from convert.dataset.index import load_index, read_index_table
from convert.dataset.manifest import Manifest, load_manifest
from convert.errors import BadImageError, UserError
from convert.image import encode, planes


def find_row(index: pa.Table, row_id: int | None, key: str | None) -> dict[str, Any]:
    """The index row with that id or that key.

    Raises:
        UserError: there is none.
    """
    name, wanted = ("key", key) if row_id is None else ("id", row_id)
    try:
        row = index.column(name).index(wanted).as_py()
    except (OverflowError, UnicodeEncodeError):  # no id is so large, no key has such characters
        row = -1
    if row < 0:
        raise UserError(f"no image has the {name} {wanted}; ids run from 0 on, keys look like {index.column('key')[0]}")
    return index.slice(row, 1).to_pylist()[0]


def read_payload(directory: Path, manifest: Manifest, row: dict[str, Any]) -> bytes:
    """The stored bytes of one image, given its index row.

    Raises:
        UserError: the shard cannot be read, or ends before the image does.
    """
    path = directory / manifest.shards[row["shard"]].name
    if not path.is_file():  # nor a pipe, which would be waited for
        raise UserError(f"{path} is missing: run 'python -m convert verify {directory}'")
    try:
        with path.open("rb") as stream:
            stream.seek(row["offset"])
            payload = stream.read(row["length"])
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): run 'python -m convert verify {directory}'") from error
    if len(payload) != row["length"]:
        raise UserError(f"{path} ends before the image {row['key']}: run 'python -m convert verify {directory}'")
    return payload


def read_rgb(directory: Path, manifest: Manifest, row: dict[str, Any]) -> np.ndarray:
    """One image as uint8 [height, width, 3], given its index row.

    Raises:
        UserError: the shard cannot be read, or the image in it is damaged.
    """
    payload = read_payload(directory, manifest, row)
    try:
        if manifest.encoding.name == "yuv420":
            return planes.to_rgb(np.frombuffer(payload, np.uint8), row["height"], row["width"])
        return encode.decode_rgb(payload)
    except (BadImageError, ValueError) as error:
        raise UserError(
            f"the image {row['key']} in {directory} is damaged ({error}): run 'python -m convert verify {directory}'"
        ) from error


class Records:
    """The rows of one dataset directory, by id.

    Opening reads the index columns (some 40 bytes a row) and maps every shard; it reads no image.
    Safe to use from several threads.

    Attributes:
        manifest: the dataset's description.
        ids: int64 [rows], rising; row numbers, unless the converter left images out.
        labels: int32 [rows].
        heights: of the stored images in pixels, int64 [rows].
        widths: likewise.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.manifest: Manifest = load_manifest(directory)
        index = load_index(
            directory, self.manifest, ["id", "shard", "offset", "length", "label", "height", "width", "crc32"]
        )
        self.ids: np.ndarray = index["id"]
        self.labels: np.ndarray = index["label"]
        self.heights: np.ndarray = index["height"].astype(np.int64)
        self.widths: np.ndarray = index["width"].astype(np.int64)
        self._shards, self._offsets, self._lengths = index["shard"], index["offset"], index["length"]
        self._crcs = index["crc32"]
        self._maps = [_map_shard(directory / shard.name, shard.data_bytes) for shard in self.manifest.shards]
        self._bases = np.array([np.frombuffer(mapped, np.uint8).ctypes.data for mapped in self._maps], np.uintp)
        self._check_bounds()

    def __len__(self) -> int:
        """The number of rows."""
        return self.manifest.rows

    def payload(self, row: int) -> np.ndarray:
        """The stored bytes of one image, uint8 [length]: a read-only view of the mapped shard."""
        return np.frombuffer(self._maps[self._shards[row]], np.uint8, int(self._lengths[row]), int(self._offsets[row]))

    def addresses(self, rows: np.ndarray) -> np.ndarray:
        """Where these rows' payloads begin in memory, uintp [B], for compiled code; valid as long as this object lives."""
        return self._bases[self._shards[rows]] + self._offsets[rows].astype(np.uintp)

    def will_need(self, rows: np.ndarray) -> None:
        """Ask the kernel to read these rows' payloads ahead; returns at once."""
        offsets = self._offsets[rows]
        starts = offsets // mmap.PAGESIZE * mmap.PAGESIZE
        lengths = offsets + self._lengths[rows] - starts
        for shard, start, length in zip(self._shards[rows].tolist(), starts.tolist(), lengths.tolist(), strict=True):
            self._maps[shard].madvise(mmap.MADV_WILLNEED, start, length)

    def check_present(self, rows: np.ndarray) -> None:
        """Make sure that no shard of these rows has been cut short since it was mapped: reading it would end the process.

        Raises:
            UserError: names shard, row and key; a shard that was only removed stays readable and is not noticed.
        """
        shards, first = np.unique(self._shards[rows], return_index=True)
        for shard, place in zip(shards.tolist(), first.tolist(), strict=True):
            expected = self.manifest.shards[shard].data_bytes
            if self._maps[shard].size() < expected:
                raise UserError(
                    f"{self.describe(int(rows[place]))} is gone, the shard had {expected} bytes and has "
                    f"{self._maps[shard].size()} now: 'python -m convert verify {self.directory}' lists all damage; "
                    "restore the shard, or convert again"
                )

    def is_intact(self, row: int) -> bool:
        """Whether a payload still has the checksum that the converter gave it."""
        start, length = int(self._offsets[row]), int(self._lengths[row])
        return zlib.crc32(memoryview(self._maps[self._shards[row]])[start : start + length]) == self._crcs[row]

    def describe(self, row: int) -> str:
        """Where a row lies, for messages: shard, row and key."""
        shard = self.manifest.shards[self._shards[row]].name
        key = read_index_table(self.directory, self.manifest, ["key"]).column("key")[int(row)].as_py()
        return f"{self.directory / shard}: row {row} ({key})"

    def _check_bounds(self) -> None:
        sizes = np.array([shard.data_bytes for shard in self.manifest.shards], np.int64)
        if len(self) and (
            self._shards.min() < 0
            or self._shards.max() >= len(sizes)
            or self._offsets.min() < 0
            or min(self._lengths.min(), self.heights.min(), self.widths.min()) < 1
            or (self._offsets + self._lengths > sizes[self._shards]).any()
            or (np.diff(self.ids) <= 0).any()
            or self.labels.min() < 0
            or self.labels.max() >= len(self.manifest.classes)
        ):
            raise UserError(
                f"the index of {self.directory} has no rising ids, or points outside its shards or classes: convert again"
            )
        if self.manifest.encoding.name == "yuv420" and (self._lengths * 2 != self.heights * self.widths * 3).any():
            raise UserError(f"the index of {self.directory} has rows that are no yuv420 planes: convert again")


def _map_shard(path: Path, expected_bytes: int) -> mmap.mmap:
    repair = "restore it or convert again"
    try:
        with path.open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: {repair}") from error
    except OSError as error:
        raise UserError(
            f"cannot open {path} ({error.strerror}): check its permissions and the limit of open files, ulimit -n"
        ) from error
    except ValueError as error:
        raise UserError(f"{path} is empty: {repair}") from error
    if len(mapped) != expected_bytes:
        raise UserError(f"{path} has {len(mapped)} bytes, the manifest says {expected_bytes}: {repair}")
    return mapped
