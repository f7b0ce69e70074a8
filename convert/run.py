"""`python -m convert run`: a split of ImageNet to a dataset directory, restartable at any moment."""

from __future__ import annotations

import sys
from dataclasses import asdict
from importlib.util import find_spec

import numpy as np

from convert.dataset import Dataset
from convert.dataset.classes import resolve_classes
from convert.dataset.manifest import Manifest, load_manifest
from convert.errors import UserError
from convert.job import conversion, staging
from convert.job.conversion import convert_split
from convert.job.options import RunOptions
from convert.job.plan import requested

SMALL_SIDE_PIXELS = 64
"""Below this short side colour at half size costs about half a point of top-1 (docs/feed.md)."""


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
    if find_spec("mindspore") is None:  # before any worker starts
        raise ModuleNotFoundError("no MindSpore", name="mindspore")
    try:
        with conversion.stoppable():
            outcome = convert_split(options)
    except conversion.StoppedError as stopped:
        print(f"\n{stopped}", file=sys.stderr)
        return 128 + stopped.signal_number
    manifest = outcome.manifest
    print(
        f"{options.output}: {manifest.rows:,} images of {outcome.classes} in {len(manifest.shards)} shards, "
        f"{manifest.payload_bytes / 1e6:,.1f} MB from {manifest.source_bytes / 1e6:,.1f} MB"
    )
    for item in manifest.skipped:
        print(f"left out {item.key}: {item.reason}")
    if outcome.images:
        print(
            f"{outcome.images:,} images in {outcome.wall_s:,.1f} s with the workers' start, "
            f"{outcome.images / outcome.cost.cpu_s:,.0f} images per core-second without it"
        )
    if options.stored_as().traits.resizes:
        _note_small_images(Dataset(options.output))
    return 0


def _note_small_images(dataset: Dataset) -> None:
    """Say what half of the colour's resolution costs where images are small."""
    sides = np.minimum(dataset.heights, dataset.widths)
    if sides.size and (side := int(np.median(sides))) < SMALL_SIDE_PIXELS:
        print(
            f"note: images of {side} pixels keep their colour at {side // 2}, some half a point of top-1; "
            "'--encoding original', trained with '--feed reference', keeps it whole"
        )


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
