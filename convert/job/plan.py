"""Which image goes where: pure functions of the listing's size, the seed and the shard size."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from convert import __version__
from convert.dataset import classes, mindrecord
from convert.dataset.manifest import ClassEntry
from convert.errors import UserError
from convert.job.options import RunOptions
from convert.job.shard import ShardTask
from convert.sources import Source, open_source

SHARDS_AIMED_AT = 16
"""Enough for parallel work on a small dataset ..."""
SHARD_ROWS_MIN = 64
SHARD_ROWS_MAX = 10_010
"""... and 128 shards of about 1.3 GB (at 130 KB an image) for ImageNet's 1,281,167 training images."""


@dataclass(frozen=True)
class ShardPlan:
    """One shard: its number, the id of its first row, and the listing rows that it holds, in order."""

    index: int
    first_id: int
    """Position of the first row in the plan order; ids of the shard are `first_id` up to `first_id + len(rows)`."""
    rows: np.ndarray
    """int64 [n]: row numbers of the listing."""


def auto_shard_rows(rows: int) -> int:
    """Images per shard when the user does not say: 16 shards, of at least 64 and at most 10,010 images."""
    return min(max(-(-rows // SHARDS_AIMED_AT), SHARD_ROWS_MIN), SHARD_ROWS_MAX)


def shuffled_rows(blocks: np.ndarray, seed: int) -> np.ndarray:
    """A permutation of the listing: a function of the blocks and the seed alone.

    Rows whose block is -1 stand alone, and if all do this is a uniform shuffle. Rows of one block
    stay together (in shuffled order), so that a Parquet row group is read once.

    Args:
        blocks: int64 [rows], the listing's column.
        seed: any non-negative integer.

    Returns:
        int64 [rows].
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(blocks))
    if np.any(blocks >= 0):
        # blocks in the order in which the shuffle first meets them; the stable sort keeps the shuffle inside a block
        block_ids = np.where(blocks >= 0, blocks, -1 - np.arange(len(blocks)))[order]
        _, first_seen, inverse = np.unique(block_ids, return_index=True, return_inverse=True)
        order = order[np.argsort(first_seen[inverse], kind="stable")]
    return order


def plan_shards(blocks: np.ndarray, seed: int, shard_rows: int) -> list[ShardPlan]:
    """Cut the shuffled listing into shards whose sizes differ by at most one row.

    Args:
        blocks: int64 [rows], the listing's column.
        seed: of the shuffle.
        shard_rows: the most rows a shard may hold, at least 1.

    Raises:
        ValueError: no rows, or `shard_rows` below 1.
    """
    if len(blocks) == 0 or shard_rows < 1:
        raise ValueError(
            f"a plan needs at least 1 row and shard_rows >= 1, got {len(blocks)} rows and shard_rows {shard_rows}"
        )
    order = shuffled_rows(blocks, seed)
    shard_count = -(-len(order) // shard_rows)
    bounds = [len(order) * index // shard_count for index in range(shard_count + 1)]
    return [ShardPlan(index, bounds[index], order[bounds[index] : bounds[index + 1]]) for index in range(shard_count)]


LIBRARIES = ("mindspore", "numpy", "opencv-python-headless", "pillow", "simplejpeg")
"""Packages on whose versions the bytes of a dataset depend."""


@dataclass(frozen=True)
class Conversion:
    """A conversion that is fully determined but not begun."""

    options: RunOptions
    source: Source
    listing: pa.Table
    """LISTING_SCHEMA and `label` (int32), sorted by key."""
    classes: tuple[ClassEntry, ...]
    plans: list[ShardPlan]
    fingerprint: dict[str, Any]
    """Everything that the output is a function of; JSON values."""
    notes: tuple[str, ...]
    """What to tell before anything is converted."""

    def counted_classes(self) -> str:
        """How many classes have images, of how many, in words."""
        found, known = len(self.listing.column("wnid").unique()), len(self.classes)
        return f"{known:,} classes" if found == known else f"{found:,} of {known:,} classes"

    def task(self, shard: ShardPlan, output: Path) -> ShardTask:
        """The task that makes one shard in the folder `output`."""
        encoding = self.options.stored_as()
        return ShardTask(
            index=shard.index,
            name=mindrecord.shard_name(self.options.split_name(), shard.index),
            first_id=shard.first_id,
            reader=self.source.reader(),
            items=self.listing.take(shard.rows),
            encoding=encoding,
            layout=mindrecord.layout_for(encoding),
            check=self.options.check,
            on_bad=self.options.on_bad,
            bad_max=self.options.max_bad,
            output=output,
        )


def prepare(options: RunOptions) -> Conversion:
    """Look at the source, give labels, plan the shards.

    Raises:
        UserError: the source or its labels are at fault, or the output lies in the source.
    """
    if options.source.resolve() in options.output.resolve().parents:
        raise UserError(
            f"{options.output} lies in the source {options.source}, which is to hold one split and nothing else: name a folder "
            "elsewhere"
        )
    table = classes.table_for(options.classes, force_order=options.force_labels)
    source = open_source(
        options.source,
        table,
        options.source_kind,
        options.devkit,
        options.force_labels,
        options.split,
        assumed=options.classes == "auto",
    )
    listing = source.listing()
    wnids = listing.column("wnid").unique().to_pylist()
    entries = classes.resolve_classes(options.classes, wnids, force_order=options.force_labels)
    listing = _with_labels(listing, entries)
    shard_rows = options.shard_rows or auto_shard_rows(listing.num_rows)
    plans = plan_shards(listing.column("block").to_numpy(), options.seed, shard_rows)
    fingerprint = {
        **requested(options),
        "classes": hashlib.sha256(json.dumps([asdict(entry) for entry in entries]).encode()).hexdigest(),
        "check": options.check,
        "images": listing.num_rows,
        "images_digest": _listing_digest(listing),
        "shard_rows": shard_rows,
        "versions": versions_used(),
    }
    notes = [*source.notes(), *classes.class_notes(options.classes, entries, wnids)]
    return Conversion(options, source, listing, entries, plans, fingerprint, tuple(notes))


def requested(options: RunOptions) -> dict:
    """What a user asked for, as far as the output depends on it and the manifest tells it again."""
    return {"split": options.split_name(), "encoding": asdict(options.stored_as()), "seed": options.seed}


def versions_used() -> dict[str, str]:
    """Versions of the converter and of the libraries that bear on its output, and the platform, whose rounding does too."""
    from importlib.metadata import version

    return {"convert": __version__, **{name: version(name) for name in LIBRARIES}, "machine": platform.machine()}


def _with_labels(listing: pa.Table, entries: tuple[ClassEntry, ...]) -> pa.Table:
    labels = {entry.wnid: label for label, entry in enumerate(entries)}
    encoded = listing.column("wnid").combine_chunks().dictionary_encode()
    by_code = pa.array([labels[wnid] for wnid in encoded.dictionary.to_pylist()], pa.int32())
    return listing.append_column("label", by_code.take(encoded.indices))


def _listing_digest(listing: pa.Table) -> str:
    """SHA-256 over keys, labels and sizes: equal as long as the source shows the same files."""
    digest = hashlib.sha256()
    for batch in listing.select(["key", "label", "length"]).to_batches(max_chunksize=10_000):
        digest.update(json.dumps(batch.to_pydict()).encode())
    return digest.hexdigest()
