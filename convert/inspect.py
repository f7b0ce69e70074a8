"""`python -m convert inspect`: what a dataset holds, in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from convert.dataset import Dataset
from convert.dataset.duplicates import duplicate_groups
from convert.dataset.manifest import Manifest
from convert.durable_files import published_output, write_output
from convert.image.contact_sheet import Tile, check_sheet_path, draw_sheet

SHEET_IMAGES = 20


@dataclass(frozen=True)
class InspectOptions:
    """Describe a dataset directory: the manifest in words, classes, sizes, what was re-encoded and why, duplicates."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """The dataset directory."""
    row: int | None = None
    """Extract the image with this id instead."""
    key: str | None = None
    """Extract the image with this key instead, such as n01440764/n01440764_10026.JPEG."""
    out: Path | None = None
    """File for the extracted image; default: its own name, in the working folder."""
    sheet: Path | None = None
    """Draw labelled images into this file (.png) instead; tinydarknet.preview draws what training makes of them."""
    against: Path | None = None
    """Look for duplicates in this dataset, too: the other split, stored alike."""

    def __post_init__(self) -> None:
        if self.out is not None and self.row is None and self.key is None:
            raise ValueError(f"out goes with row or key, got {str(self.out)!r} alone")
        if self.out is not None:
            _check_picture_path(self.out)
        if self.sheet is not None:
            check_sheet_path(self.sheet)
        instead = [name for name in ("row", "key", "sheet", "against") if getattr(self, name) is not None]
        if len(instead) > 1:
            raise ValueError(f"give one of row, key, sheet and against, got {' and '.join(instead)}")


def inspect(options: InspectOptions) -> int:
    """Print the description, or write what was asked for; returns the exit status."""
    dataset = Dataset(options.dataset, map_shards=False)
    if options.sheet is not None:
        rows = dataset.spread_rows(SHEET_IMAGES).tolist()
        draw_sheet([Tile(dataset.rgb(row), dataset.caption(row)) for row in rows], options.sheet)
        print(f"{options.sheet}: {len(rows)} images")
        return 0
    if options.row is not None or options.key is not None:
        _extract(options, dataset, dataset.find(id=options.row, key=options.key))
        return 0
    compared = [dataset, *([Dataset(options.against, map_shards=False)] if options.against else [])]
    parts = [
        summary(dataset.manifest),
        _class_lines(dataset),
        _size_lines(dataset),
        _reason_lines(dataset),
        _duplicate_lines(compared),
    ]
    print("\n\n".join("\n".join(lines) for lines in parts))
    return 0


def _extract(options: InspectOptions, dataset: Dataset, row: int) -> None:
    from PIL import Image

    key, label, encoding = dataset.key(row), dataset.labels[row], dataset.manifest.encoding
    path = options.out or Path(Path(key).stem + encoding.suffix)
    if not encoding.traits.is_jpeg or path.suffix.lower() not in (".jpg", ".jpeg"):
        picture = Image.fromarray(dataset.rgb(row))
        with published_output(path) as temporary:
            picture.save(temporary)
    else:
        payload = dataset.payload(row)
        write_output(path, payload.tobytes())
    entry = dataset.classes[label]
    print(
        f"{path}: {key}, id {dataset.ids[row]}, label {label} ({entry.wnid} {entry.name}), "
        f"{dataset.widths[row]}x{dataset.heights[row]}"
    )


def _check_picture_path(path: Path) -> None:
    from PIL import Image

    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise ValueError(f"out must end in .png, .jpg or as other pictures do, got {str(path)!r}")


def _duplicate_lines(datasets: list[Dataset]) -> list[str]:
    groups = duplicate_groups(datasets)
    shown = [f"    {', '.join(names)}" for names in groups[:20]]
    more = [f"    and {len(groups) - 20} more"] if len(groups) > 20 else []
    return [f"groups of equal images: {len(groups)}", *shown, *more]


def summary(manifest: Manifest) -> list[str]:
    """The manifest as lines of text."""
    return [
        f"split {manifest.split}: {manifest.rows:,} images of {len(manifest.classes):,} classes in {len(manifest.shards)} shards",
        f"encoding {manifest.encoding.in_words()}, shuffled with seed {manifest.seed}",
        f"{manifest.payload_bytes / 1e6:,.1f} MB of images from {manifest.source_bytes / 1e6:,.1f} MB of source files, "
        f"{manifest.payload_bytes / max(manifest.rows, 1) / 1e3:,.1f} KB each",
        f"skipped {len(manifest.skipped)}; written by {', '.join(f'{name} {version}' for name, version in manifest.versions.items())}",
        f"logical digest {manifest.logical_digest}",
    ]


def _class_lines(dataset: Dataset) -> list[str]:
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    order = np.argsort(-counts, kind="stable")
    shown = [*order] if len(order) <= 12 else [*order[:5], None, *order[-5:]]
    lines = [f"images per class: {counts.min():,} to {counts.max():,}, median {np.median(counts):,.0f}"]
    for label in shown:
        lines.append(
            "    ..."
            if label is None
            else f"    {counts[label]:>7,}  {dataset.classes[label].wnid}  {dataset.classes[label].name}"
        )
    return lines


def _size_lines(dataset: Dataset) -> list[str]:
    short = np.minimum(dataset.heights, dataset.widths)
    edges = np.array([0, 32, 64, 128, 192, 256, 384, 512, 1024, 2048, 1 << 31])
    counts, _ = np.histogram(short, edges)
    lines = [f"short side of stored images: {short.min()} to {short.max()} pixels, median {np.median(short):.0f}"]
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        if count:
            lines.append(
                f"    {count:>9,}  {low} to {high - 1}" if high < 1 << 31 else f"    {count:>9,}  {low} and more"
            )
    return lines


def _reason_lines(dataset: Dataset) -> list[str]:
    lines = [
        f"    {images:>9,}  {action}{f': {reason}' if reason else ''}"
        for action, reason, images in dataset.treatments()
    ]
    return ["what was done, and why:", *lines]
