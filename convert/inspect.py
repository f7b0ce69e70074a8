"""`python -m convert inspect`: what a dataset holds, in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import tyro

from convert.manifest import Encoding, Manifest, load_manifest, read_index_table


@dataclass(frozen=True)
class InspectOptions:
    """Describe a dataset directory: the manifest in words, classes, sizes, what was re-encoded and why."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """The dataset directory."""


def inspect(options: InspectOptions) -> int:
    """Print the description; returns the exit status."""
    manifest = load_manifest(options.dataset)
    index = read_index_table(options.dataset, manifest)
    print(
        "\n".join(
            [*summary(manifest), "", *_class_lines(manifest, index), "", *_size_lines(index), "", *_reason_lines(index)]
        )
    )
    return 0


def summary(manifest: Manifest) -> list[str]:
    """The manifest as lines of text."""
    return [
        f"split {manifest.split}: {manifest.rows:,} images of {len(manifest.classes):,} classes in {len(manifest.shards)} shards",
        f"encoding {_in_words(manifest.encoding)}, shuffled with seed {manifest.seed}",
        f"{manifest.payload_bytes / 1e6:,.1f} MB of images from {manifest.source_bytes / 1e6:,.1f} MB of source files, "
        f"{manifest.payload_bytes / max(manifest.rows, 1) / 1e3:,.1f} KB each",
        f"skipped {len(manifest.skipped)}; written by {', '.join(f'{name} {version}' for name, version in manifest.versions.items())}",
        f"logical digest {manifest.logical_digest}",
    ]


def _in_words(encoding: Encoding) -> str:
    size = f"short side at most {encoding.short_side}" if encoding.short_side else "sizes kept"
    return f"{encoding.name} ({size}{f', quality {encoding.quality}' if encoding.quality else ''})"


def _class_lines(manifest: Manifest, index: pa.Table) -> list[str]:
    counts = np.bincount(index.column("label").to_numpy(), minlength=len(manifest.classes))
    order = np.argsort(-counts, kind="stable")
    shown = [*order] if len(order) <= 12 else [*order[:5], None, *order[-5:]]
    lines = [f"images per class: {counts.min():,} to {counts.max():,}, median {np.median(counts):,.0f}"]
    for label in shown:
        lines.append(
            "    ..."
            if label is None
            else f"    {counts[label]:>7,}  {manifest.classes[label].wnid}  {manifest.classes[label].name}"
        )
    return lines


def _size_lines(index: pa.Table) -> list[str]:
    short = np.minimum(index.column("height").to_numpy(), index.column("width").to_numpy())
    edges = np.array([0, 32, 64, 128, 192, 256, 384, 512, 1024, 2048, 1 << 31])
    counts, _ = np.histogram(short, edges)
    lines = [f"short side of stored images: {short.min()} to {short.max()} pixels, median {np.median(short):.0f}"]
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        if count:
            lines.append(
                f"    {count:>9,}  {low} to {high - 1}" if high < 1 << 31 else f"    {count:>9,}  {low} and more"
            )
    return lines


def _reason_lines(index: pa.Table) -> list[str]:
    pairs = Counter(zip(index.column("action").to_pylist(), index.column("reason").to_pylist(), strict=True))
    return [
        "what was done, and why:",
        *(
            f"    {count:>9,}  {action}{f': {reason}' if reason else ''}"
            for (action, reason), count in pairs.most_common()
        ),
    ]
