"""What a run notes about its datasets, so that a report needs the run's folder alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from convert.dataset import Dataset
from convert.dataset.manifest import SkippedItem
from convert.image.encoding import Encoding

SKIPPED_NAMED_MAX = 50
"""Of the images left out, so many are named; the counts by reason are of all."""


@dataclass(frozen=True)
class Treatment:
    """How many images something was done to (`action`), and why (`reason`, "" for the ordinary)."""

    action: str
    reason: str
    images: int


@dataclass(frozen=True)
class DatasetCard:
    """A dataset in a few lines; JSON-ready by `dataclasses.asdict`."""

    path: str
    split: str
    encoding: Encoding
    images: int
    classes: int
    images_per_class: tuple[int, float, int]
    """Fewest, median, most."""
    shards: int
    payload_bytes: int
    source_bytes: int
    seed: int
    """Of the shuffle at conversion."""
    logical_digest: str
    versions: dict[str, str]
    """Of the converter and the libraries that wrote it."""
    treated: tuple[Treatment, ...]
    """Most frequent first."""
    left_out: int
    """Source images that were skipped."""
    left_out_reasons: tuple[tuple[str, int], ...]
    """Reason and count, most frequent first."""
    left_out_named: tuple[SkippedItem, ...]
    """The first SKIPPED_NAMED_MAX of them."""


def dataset_card(dataset: Dataset) -> DatasetCard:
    """Describe a dataset."""
    manifest = dataset.manifest
    per_class = np.bincount(dataset.labels, minlength=len(manifest.classes))
    return DatasetCard(
        path=str(dataset.directory),
        split=manifest.split,
        encoding=manifest.encoding,
        images=manifest.rows,
        classes=len(manifest.classes),
        images_per_class=(int(per_class.min()), float(np.median(per_class)), int(per_class.max())),
        shards=len(manifest.shards),
        payload_bytes=manifest.payload_bytes,
        source_bytes=manifest.source_bytes,
        seed=manifest.seed,
        logical_digest=manifest.logical_digest,
        versions=manifest.versions,
        treated=tuple(Treatment(*entry) for entry in dataset.treatments()),
        left_out=len(manifest.skipped),
        left_out_reasons=tuple(Counter(item.reason for item in manifest.skipped).most_common()),
        left_out_named=manifest.skipped[:SKIPPED_NAMED_MAX],
    )
