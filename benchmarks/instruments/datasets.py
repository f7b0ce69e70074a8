"""The same images in the encoding that a feed reads, converted for the occasion where need be."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from convert.errors import UserError
from tinydarknet.feed.loader import FeedName

if TYPE_CHECKING:
    from convert.dataset import Dataset
    from convert.image.encoding import EncodingName

MeasuredFeed = Literal["planes", "host", "host_jpeg", "dvpp_on_cpu", "reference"]


@dataclass(frozen=True)
class FeedKind:
    """A feed together with the encoding that it is measured on."""

    feed: FeedName
    encoding: EncodingName


FEED_KINDS: dict[MeasuredFeed, FeedKind] = {
    "planes": FeedKind("planes", "yuv420"),
    "host": FeedKind("host", "original"),
    "host_jpeg": FeedKind("host", "jpeg"),
    "dvpp_on_cpu": FeedKind("dvpp_on_cpu", "original"),
    "reference": FeedKind("reference", "original"),
}
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class FeedData:
    """A dataset that a feed can read, and what its images are."""

    directory: Path
    images: str
    """Where they come from, for the result: a fair comparison depends on it."""


def data_for_feed(feed: MeasuredFeed, given: Sequence[Path], folder: Path, rows: int) -> FeedData:
    """Find a dataset for `feed` among `given`, or convert at most `rows` images of the first of them into `folder`.

    Planes are made from stored JPEGs without loss of meaning. JPEGs made from planes are smaller than the
    photographs they were, which flatters the feed that reads them; the result says so.

    Raises:
        UserError: a given folder is no dataset.
    """
    from convert.dataset.manifest import load_manifest
    from convert.job.options import RunOptions
    from convert.run import run

    wanted = FEED_KINDS[feed].encoding
    for directory in given:
        if load_manifest(directory).encoding.name == wanted:
            return FeedData(directory, "as given")
    source = given[0]
    stored = load_manifest(source).encoding
    output = folder / wanted
    if not output.exists():
        files = folder / f"{wanted}-source"
        _unpack(source, files, rows)
        with contextlib.redirect_stdout(sys.stderr):
            status = run(RunOptions(files, output, encoding=wanted))
        if status:
            raise UserError(f"{source} could not be converted to {wanted}")
    if stored.traits.holds_planes:
        return FeedData(output, f"JPEG quality {_JPEG_QUALITY} made from planes of short side {stored.short_side}")
    return FeedData(output, f"made from the {stored.name} dataset")


def _unpack(directory: Path, folder: Path, rows: int) -> None:
    """Write a dataset's images, or `rows` of them spread over all, as `folder/<wnid>/<name>`."""
    from convert.dataset import Dataset

    records = Dataset(directory)
    keys = records.index.column("key").to_pylist()
    is_planes = records.manifest.encoding.traits.holds_planes
    for row in range(0, len(keys), max(1, len(keys) // rows)):
        wnid, name = Path(keys[row]).parts[-2:]
        path = folder / wnid / f"{row:07d}-{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_as_jpeg(records, row) if is_planes else records.payload(row).tobytes())


def _as_jpeg(dataset: Dataset, row: int) -> bytes:
    import cv2

    _, encoded = cv2.imencode(".jpg", dataset.rgb(row)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return encoded.tobytes()
