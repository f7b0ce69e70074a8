"""Equal images within a dataset and across datasets."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from convert.dataset.dataset import Dataset
from convert.errors import UserError


def duplicate_groups(datasets: list[Dataset]) -> list[list[str]]:
    """Groups of images whose stored bytes are equal, as `dataset/key`.

    Candidates agree in size and CRC-32; only they are read and compared.

    Args:
        datasets: one, or several.

    Raises:
        UserError: the datasets do not store images alike, so that equal images have other bytes.
    """
    datasets = list({dataset.directory: dataset for dataset in datasets}.values())
    _refuse_other_encodings(datasets)
    groups: list[list[str]] = []
    for places in _candidates([_marks(dataset.column("length"), dataset.column("crc32")) for dataset in datasets]):
        equal: dict[bytes, list[str]] = defaultdict(list)
        for number, row in places:
            dataset = datasets[number]
            equal[hashlib.sha256(dataset.payload(row).data).digest()].append(f"{dataset.directory}/{dataset.key(row)}")
        groups += [sorted(names) for names in equal.values() if len(names) > 1]
    return sorted(groups)


def _refuse_other_encodings(datasets: list[Dataset]) -> None:
    first, *others = datasets
    for other in others:
        if other.manifest.encoding != first.manifest.encoding:
            stored = [f"{one.directory} is stored as {one.manifest.encoding.in_words()}" for one in (first, other)]
            raise UserError(
                f"{', '.join(stored)}: equal images have equal bytes only where both are stored alike; "
                "convert one of them as the other"
            )


def _marks(lengths: np.ndarray, crcs: np.ndarray) -> np.ndarray:
    """uint64 [rows]: size and CRC-32 of each payload in one number."""
    return lengths.astype(np.uint64) << np.uint64(32) | crcs


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
