"""`python -m convert run`: a split of ImageNet to a dataset directory, restartable at any moment."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import tyro
from tqdm import tqdm

from convert import __version__, classes, plan, pool, shards, staging, work
from convert.errors import UserError
from convert.images import ORIGINAL_QUALITY, Check
from convert.manifest import (
    INDEX_SCHEMA,
    MANIFEST_NAME,
    ClassEntry,
    Encoding,
    EncodingName,
    Manifest,
    load_manifest,
    logical_digest,
    write_index,
    write_manifest,
)
from convert.sources import Kind, open_source

_POLL_SECONDS = 0.5
_SPLITS = ("train", "val", "validation", "test")


@dataclass(frozen=True)
class RunOptions:
    """Convert one split to a dataset directory of verified MindRecord shards.

    Killed at any moment, the same command goes on where it stopped and ends with the same bytes.
    """

    source: Annotated[Path, tyro.conf.Positional]
    """One split: class folders, flat validation images, a tar (of tars), Parquet, or WebDataset shards; nothing is unpacked."""
    output: Annotated[Path, tyro.conf.Positional]
    """The dataset directory to make; new, empty, or of an unfinished run."""
    encoding: EncodingName = "yuv420"
    """yuv420: planes, the fastest to train from; original: the source bytes where they are safe; jpeg: resized and re-encoded."""
    short_side: int = 256
    """Longest short side of stored images in pixels, 0 keeps their size; without effect on original."""
    quality: int = 90
    """JPEG quality of the encoding jpeg, 1 to 100."""
    check: Check = "decode"
    """How the encoding original checks images: decode every one, or only scan its markers (faster)."""
    classes: str = "auto"
    """auto: the wnids found; imagenet1k: the fixed 1,000, so that a subset keeps its labels; or a table (FILE.tsv)."""
    source_kind: Annotated[Kind | None, tyro.conf.arg(name="source")] = None
    """The packaging, where looking at it does not tell."""
    devkit: Path | None = None
    """Folder with the ground truth (and meta.mat) of flat validation images; default: look around the source."""
    force_labels: bool = False
    """Accept labels in another order than sorted wnids."""
    split: str = ""
    """Name of the split and of the shard files; default: the source's folder name if it is train or val, else "train"."""
    seed: int = 0
    """Of the shuffle that puts the images in order."""
    shard_rows: int = 0
    """Images per shard; 0: 16 shards, of at least 64 and at most 10,010 images."""
    workers: int = field(default_factory=pool.usable_cpus)
    """Worker processes; the output does not depend on it."""

    def __post_init__(self) -> None:
        self.stored_as()
        for name, lowest in (("quality", 1), ("seed", 0), ("shard_rows", 0), ("workers", 1)):
            if getattr(self, name) < lowest:
                raise ValueError(f"{name} must be at least {lowest}, got {getattr(self, name)}")
        if self.split and not self.split.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"split must consist of letters, digits, - and _, got {self.split!r}")

    def stored_as(self) -> Encoding:
        """The encoding with those parameters that bear on it."""
        if self.encoding == "original":
            return Encoding("original", 0, ORIGINAL_QUALITY)
        return Encoding(self.encoding, self.short_side, self.quality if self.encoding == "jpeg" else 0)

    def split_name(self) -> str:
        """The split's name."""
        name = self.source.resolve().name.lower()
        return self.split or (name if name in _SPLITS else "train")


class StoppedError(Exception):
    """SIGINT or SIGTERM ended a conversion; the finished shards are kept."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


@dataclass(frozen=True)
class Outcome:
    """What a conversion made, and what this run of it cost."""

    manifest: Manifest
    images: int
    """Images converted by this run: fewer than the manifest's rows when it went on with an earlier one's work."""
    wall_s: float
    """From the first shard's start to the last one's end, seconds."""
    cpu_s: float
    """CPU time of the workers without their start, seconds."""


def run(options: RunOptions) -> int:
    """Convert and say so; returns the exit status."""
    if (options.output / MANIFEST_NAME).is_file():
        manifest = _finished(options)
        print(
            f"{options.output} is finished: {manifest.rows:,} images in {len(manifest.shards)} shards; "
            "'python -m convert verify' checks it"
        )
        return 0
    try:
        outcome = convert_split(options)
    except StoppedError as stopped:
        print(f"\n{stopped}", file=sys.stderr)
        return 128 + stopped.signal_number
    manifest = outcome.manifest
    print(
        f"{options.output}: {manifest.rows:,} images of {len(manifest.classes):,} classes in {len(manifest.shards)} shards, "
        f"{manifest.payload_bytes / 1e6:,.1f} MB from {manifest.source_bytes / 1e6:,.1f} MB"
    )
    if outcome.images:
        print(
            f"{outcome.images / outcome.wall_s:,.0f} images/s with {options.workers} workers, "
            f"{outcome.images / outcome.cpu_s:,.0f} per core-second"
        )
    return 0


def convert_split(options: RunOptions) -> Outcome:
    """Convert a split, or finish an earlier conversion of it.

    Raises:
        UserError: the source, an image, the output folder or a worker process is at fault.
        StoppedError: SIGINT or SIGTERM arrived.
    """
    table = classes.table_for(options.classes, force_order=options.force_labels)
    source = open_source(options.source, table, options.source_kind, options.devkit, options.force_labels)
    listing = source.listing()
    entries = classes.resolve_classes(
        options.classes, listing.column("wnid").unique().to_pylist(), force_order=options.force_labels
    )
    listing = _with_labels(listing, entries)
    shard_rows = options.shard_rows or plan.auto_shard_rows(listing.num_rows)
    plans = plan.plan_shards(listing.column("block").to_numpy(), options.seed, shard_rows)
    fingerprint = {
        **_requested(options),
        "classes": hashlib.sha256(json.dumps([asdict(entry) for entry in entries]).encode()).hexdigest(),
        "check": options.check,
        "images": listing.num_rows,
        "images_digest": _listing_digest(listing),
        "shard_rows": shard_rows,
        "versions": _versions(),
    }
    with staging.opened(options.output, fingerprint):
        records = [work.read_record(options.output, shard.index) for shard in plans]
        todo = [shard for shard, record in zip(plans, records, strict=True) if record is None]
        tasks = [
            work.ShardTask(
                index=shard.index,
                name=shards.shard_name(options.split_name(), shard.index),
                first_id=shard.first_id,
                reader=source.reader(),
                items=listing.take(shard.rows),
                encoding=options.stored_as(),
                layout=shards.layout_for(options.stored_as()),
                check=options.check,
                output=options.output.absolute(),
            )
            for shard in todo
        ]
        done_rows = listing.num_rows - sum(len(shard.rows) for shard in todo)
        if todo and len(todo) < len(plans):
            print(f"going on: {len(plans) - len(todo)} of {len(plans)} shards are done")
        started = time.monotonic()
        try:
            with _stoppable():
                cpu_s = _make_shards(tasks, options.workers, listing.num_rows, done_rows)
        except StoppedError as stopped:
            finished = sum(work.record_path(options.output, shard.index).is_file() for shard in plans)
            stopped.args = (
                f"stopped: {finished} of {len(plans)} shards are done; run the same command again to go on",
            )
            raise
        wall_s = time.monotonic() - started
        manifest = _publish(options, entries, len(plans))
    return Outcome(manifest, listing.num_rows - done_rows, wall_s, cpu_s)


def _requested(options: RunOptions) -> dict:
    """What a user asked for, as far as the output depends on it and the manifest tells it again."""
    return {"split": options.split_name(), "encoding": asdict(options.stored_as()), "seed": options.seed}


def _finished(options: RunOptions) -> Manifest:
    """The manifest of a finished output, if it is what these options would make."""
    manifest = load_manifest(options.output)
    found = {"split": manifest.split, "encoding": asdict(manifest.encoding), "seed": manifest.seed}
    if changed := staging.differences(_requested(options), found):
        raise UserError(
            f"{options.output} is a finished dataset with other settings ({'; '.join(changed)}): name another folder"
        )
    return manifest


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


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("mindspore", "numpy", "opencv-python-headless", "pillow")
    return {"convert": __version__, **{name: version(name) for name in names}}


def _make_shards(tasks: list[work.ShardTask], workers: int, rows: int, rows_done: int) -> float:
    """Have the tasks done; returns the CPU seconds that they took."""
    if not tasks:
        return 0.0
    cpu_s = 0.0
    with (
        pool.process_pool(min(workers, len(tasks))) as executor,
        tqdm(total=rows, initial=rows_done, unit="images", smoothing=0.05, mininterval=1.0, disable=None) as bar,
    ):
        watch = pool.DeathWatch()
        pending = {executor.submit(pool.timed, work.convert_shard, task): task for task in tasks}
        while pending:
            finished, _ = wait(pending, _POLL_SECONDS, FIRST_COMPLETED)
            watch.look()
            for future in finished:
                task = pending.pop(future)
                try:
                    cpu_s += future.result().cpu_s
                except BrokenExecutor as error:
                    raise UserError(_blame(watch.culprits(), tasks)) from error
                rows_done += task.items.num_rows
            bar.n = rows_done + sum(state["images"] for state in work.states(tasks[0].output))
            bar.refresh()
    return cpu_s


def _blame(culprits: dict[int, str], tasks: list[work.ShardTask]) -> str:
    """One sentence about worker processes that died: which shard, how, what to do."""
    names = {task.index: task.name for task in tasks}
    shard_of = {state["pid"]: names.get(state["shard"], "") for state in work.states(tasks[0].output)}
    deaths = [
        f"the worker process {pid} that made {shard_of[pid]} {manner}"
        if pid in shard_of
        else f"the worker process {pid} {manner}"
        for pid, manner in culprits.items()
    ]
    return (
        f"{' and '.join(deaths) or 'a worker process died'}; was memory short? "
        "All finished shards are kept: run the same command again to go on"
    )


def _publish(options: RunOptions, entries: tuple[ClassEntry, ...], shard_count: int) -> Manifest:
    """Publish the index, then the manifest."""
    records = [work.read_record(options.output, index) for index in range(shard_count)]
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
        versions=_versions(),
    )
    write_manifest(options.output, manifest)
    return manifest


@contextmanager
def _stoppable() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into an exception while shards are made."""

    def stop(number: int, frame: object) -> None:
        del frame
        raise StoppedError(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
