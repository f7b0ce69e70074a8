"""`python -m convert run`: a split of ImageNet to a dataset directory, restartable at any moment."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass

import pyarrow as pa

from convert import crew, shards, staging
from convert.classes import resolve_classes
from convert.errors import UserError
from convert.index import INDEX_SCHEMA, logical_digest, write_index
from convert.manifest import ClassEntry, Manifest, load_manifest, write_manifest
from convert.options import RunOptions
from convert.prepare import prepare, requested, versions_used
from convert.record import read_record, record_path


@dataclass(frozen=True)
class Outcome:
    """What a conversion made, and what this run of it cost."""

    manifest: Manifest
    images: int
    """Images converted by this run: fewer than the manifest's rows when it went on with an earlier one's work."""
    wall_s: float
    """From the workers' start (3 s for MindSpore) to the last shard's end, seconds."""
    cost: crew.Cost
    """What the workers spent."""


def run(options: RunOptions) -> int:
    """Convert and say so; returns the exit status."""
    if options.dry_run:
        from convert.doctor import doctor

        return doctor(options)
    if staging.is_finished(options.output):
        manifest = _finished(options)
        staging.clear(options.output)
        print(
            f"{options.output} is finished: {manifest.rows:,} images in {len(manifest.shards)} shards; "
            f"{options.source} was not looked at, for another source name another folder; "
            "'python -m convert verify' checks the dataset"
        )
        return 0
    try:
        with crew.stoppable():
            outcome = convert_split(options)
    except crew.StoppedError as stopped:
        print(f"\n{stopped}", file=sys.stderr)
        return 128 + stopped.signal_number
    manifest = outcome.manifest
    print(
        f"{options.output}: {manifest.rows:,} images of {len(manifest.classes):,} classes in {len(manifest.shards)} shards, "
        f"{manifest.payload_bytes / 1e6:,.1f} MB from {manifest.source_bytes / 1e6:,.1f} MB"
    )
    for item in manifest.skipped:
        print(f"left out {item.key}: {item.reason}")
    if outcome.images:
        print(
            f"{outcome.images:,} images in {outcome.wall_s:,.1f} s with the workers' start, "
            f"{outcome.images / outcome.cost.cpu_s:,.0f} images per core-second without it"
        )
    return 0


def convert_split(options: RunOptions) -> Outcome:
    """Convert a split, or finish an earlier conversion of it.

    Raises:
        UserError: the source, an image, the output folder or a worker process is at fault.
        convert.crew.StoppedError: within `crew.stoppable`, SIGINT or SIGTERM arrived.
    """
    conversion = prepare(options)
    plans, listing = conversion.plans, conversion.listing
    with staging.opened(options.output, conversion.fingerprint):
        records = [read_record(options.output, shard.index) for shard in plans]
        todo = [shard for shard, record in zip(plans, records, strict=True) if record is None]
        tasks = [conversion.task(shard, options.output.absolute()) for shard in todo]
        bad = sum(len(record.skipped) for record in records if record)
        done_rows = listing.num_rows - sum(len(shard.rows) for shard in todo)
        if todo and len(todo) < len(plans):
            print(f"going on: {len(plans) - len(todo)} of {len(plans)} shards are done")
        started = time.monotonic()
        try:
            cost = crew.make_shards(tasks, options, listing.num_rows, done_rows, bad)
        except crew.StoppedError as stopped:
            finished = sum(record_path(options.output, shard.index).is_file() for shard in plans)
            stopped.args = (
                f"stopped: {finished} of {len(plans)} shards are done; run the same command again to go on",
            )
            raise
        wall_s = time.monotonic() - started
        with staging.writing(options.output):
            manifest = _publish(options, conversion.classes, len(plans))
    return Outcome(manifest, listing.num_rows - done_rows, wall_s, cost)


def _finished(options: RunOptions) -> Manifest:
    """The manifest of a finished output, if it has the split, encoding, seed and classes that these options name.

    The source is not compared, because listing it takes a minute; nor are, with it, the classes of `--classes auto`.
    """
    manifest = load_manifest(options.output)
    found = {"split": manifest.split, "encoding": asdict(manifest.encoding), "seed": manifest.seed}
    changed = staging.differences(requested(options), found)
    if options.classes != "auto":
        wanted = resolve_classes(options.classes, (), force_order=options.force_labels)
        if wanted != manifest.classes:
            changed.append(f"its {len(manifest.classes):,} classes are not the {len(wanted):,} of {options.classes}")
    if changed:
        raise UserError(
            f"{options.output} is a finished dataset with other settings ({'; '.join(changed)}): name another folder"
        )
    return manifest


def _publish(options: RunOptions, entries: tuple[ClassEntry, ...], shard_count: int) -> Manifest:
    """Publish the index, then the manifest."""
    records = [read_record(options.output, index) for index in range(shard_count)]
    missing = [index for index, record in enumerate(records) if record is None]
    if missing:
        raise UserError(
            f"shard {missing[0]} of {options.output} disappeared during the run: run the same command again"
        )
    whole = [record for record in records if record is not None]
    index = pa.concat_tables([record.index_rows for record in whole]).cast(INDEX_SCHEMA)
    manifest = Manifest(
        split=options.split_name(),
        encoding=options.stored_as(),
        seed=options.seed,
        classes=entries,
        shards=tuple(record.entry for record in whole),
        layout=shards.layout_for(options.stored_as()),
        rows=index.num_rows,
        payload_bytes=sum(index.column("length").to_pylist()),
        source_bytes=sum(index.column("source_bytes").to_pylist()),
        index_sha256=write_index(options.output, index),
        logical_digest=logical_digest(index),
        skipped=tuple(item for record in whole for item in record.skipped),
        versions=versions_used(),
    )
    write_manifest(options.output, manifest)
    return manifest
