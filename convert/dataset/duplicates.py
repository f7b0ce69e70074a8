"""Equal images within a dataset and across datasets."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from convert.dataset.dataset import read_payload
from convert.dataset.index import load_index, read_index_table
from convert.dataset.manifest import Manifest, load_manifest
from convert.errors import UserError

_COLUMNS = ["key", "shard", "offset", "length"]


def duplicate_groups(directories: list[Path]) -> list[list[str]]:
    """Groups of images whose stored bytes are equal, as `dataset/key`.

    Candidates agree in size and CRC-32; only they are read and compared.

    Args:
        directories: one dataset, or several.

    Raises:
        UserError: the datasets do not store images alike, so that equal images have other bytes.
    """
    manifests = {directory: load_manifest(directory) for directory in directories}
    _refuse_other_encodings(manifests)
    candidates = list(_candidates([_marks(directory, manifest) for directory, manifest in manifests.items()]))
    if not candidates:
        return []
    tables = [read_index_table(directory, manifest, _COLUMNS) for directory, manifest in manifests.items()]
    groups: list[list[str]] = []
    for places in candidates:
        equal: dict[bytes, list[str]] = defaultdict(list)
        for number, row_number in places:
            directory = list(manifests)[number]
            row = tables[number].slice(row_number, 1).to_pylist()[0]
            payload = read_payload(directory, manifests[directory], row)
            equal[hashlib.sha256(payload).digest()].append(f"{directory}/{row['key']}")
        groups += [sorted(names) for names in equal.values() if len(names) > 1]
    return sorted(groups)


def _refuse_other_encodings(manifests: dict[Path, Manifest]) -> None:
    (first, one), *others = manifests.items()
    for directory, manifest in others:
        if manifest.encoding != one.encoding:
            raise UserError(
                f"{first} is stored as {one.encoding.in_words()}, {directory} as {manifest.encoding.in_words()}: equal images "
                "have equal bytes only where both are stored alike; convert one of them as the other"
            )


def _marks(directory: Path, manifest: Manifest) -> np.ndarray:
    """uint64 [rows]: size and CRC-32 of each payload in one number."""
    index = load_index(directory, manifest, ["length", "crc32"])
    return index["length"].astype(np.uint64) << np.uint64(32) | index["crc32"]


def _candidates(marks: list[np.ndarray]) -> Iterator[list[tuple[int, int]]]:
    """Images with one mark, two or more: number of the dataset, and row."""
    together = np.concatenate(marks)
    first_rows = np.cumsum([0, *(len(some) for some in marks)])
    order = np.argsort(together, kind="stable")
    ordered = together[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    ends = np.r_[starts[1:], len(ordered)]
    for start, end in zip(starts[ends - starts > 1], ends[ends - starts > 1], strict=True):
        places = order[start:end]
        datasets = np.searchsorted(first_rows, places, side="right") - 1
        yield list(zip(datasets.tolist(), (places - first_rows[datasets]).tolist(), strict=True))
