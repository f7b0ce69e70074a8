"""From options to tasks: what would be converted, in which order, with which labels. Writes nothing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from convert import __version__, classes, plan, shards, work
from convert.manifest import ClassEntry
from convert.options import RunOptions
from convert.sources import Source, open_source

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
    plans: list[plan.ShardPlan]
    fingerprint: dict[str, Any]
    """Everything that the output is a function of; JSON values."""

    def task(self, shard: plan.ShardPlan, output: Path) -> work.ShardTask:
        """The task that makes one shard in the folder `output`."""
        encoding = self.options.stored_as()
        return work.ShardTask(
            index=shard.index,
            name=shards.shard_name(self.options.split_name(), shard.index),
            first_id=shard.first_id,
            reader=self.source.reader(),
            items=self.listing.take(shard.rows),
            encoding=encoding,
            layout=shards.layout_for(encoding),
            check=self.options.check,
            on_bad=self.options.on_bad,
            bad_max=self.options.max_bad,
            output=output,
        )


def prepare(options: RunOptions) -> Conversion:
    """Look at the source, give labels, plan the shards.

    Raises:
        UserError: the source or its labels are at fault.
    """
    table = classes.table_for(options.classes, force_order=options.force_labels)
    source = open_source(
        options.source, table, options.source_kind, options.devkit, options.force_labels, options.split
    )
    listing = source.listing()
    wnids = listing.column("wnid").unique().to_pylist()
    entries = classes.resolve_classes(options.classes, wnids, force_order=options.force_labels)
    listing = _with_labels(listing, entries)
    shard_rows = options.shard_rows or plan.auto_shard_rows(listing.num_rows)
    plans = plan.plan_shards(listing.column("block").to_numpy(), options.seed, shard_rows)
    fingerprint = {
        **requested(options),
        "classes": hashlib.sha256(json.dumps([asdict(entry) for entry in entries]).encode()).hexdigest(),
        "check": options.check,
        "images": listing.num_rows,
        "images_digest": _listing_digest(listing),
        "shard_rows": shard_rows,
        "versions": versions_used(),
    }
    return Conversion(options, source, listing, entries, plans, fingerprint)


def requested(options: RunOptions) -> dict:
    """What a user asked for, as far as the output depends on it and the manifest tells it again."""
    return {"split": options.split_name(), "encoding": asdict(options.stored_as()), "seed": options.seed}


def versions_used() -> dict[str, str]:
    """Versions of the converter and of the libraries that bear on its output."""
    from importlib.metadata import version

    return {"convert": __version__, **{name: version(name) for name in LIBRARIES}}


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
