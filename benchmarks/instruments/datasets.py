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
    from convert.image.encode import Payload
    from convert.image.encoding import Encoding, EncodingName

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


def store_readable(images: Path, folder: Path, encoding: Encoding) -> Path:
    """Store pictures in class folders as what the feeds read, without MindSpore; returns `folder`.

    Manifest, index and payloads are a conversion's; its one shard, though, is the payloads end to end and no MindRecord.

    Raises:
        UserError: a picture cannot be converted, or there is none.
    """
    import zlib
    from concurrent.futures import ThreadPoolExecutor

    import pyarrow as pa

    from convert.dataset.index import INDEX_SCHEMA, logical_digest, write_index
    from convert.dataset.manifest import ClassEntry, Layout, Manifest, ShardEntry, write_manifest
    from convert.errors import BadImageError
    from convert.image.encode import encode

    classes = sorted(path for path in images.iterdir() if path.is_dir())
    files = [(path, label) for label, one in enumerate(classes) for path in sorted(one.iterdir())]
    if not files:
        raise UserError(f"{images} holds no pictures in class folders: name another folder")

    def encoded(path: Path) -> Payload:
        try:
            return encode(path.read_bytes(), encoding)
        except BadImageError as error:
            raise UserError(f"{path} cannot be converted: {error}; leave it out") from error

    folder.mkdir()
    rows, shard = [], folder / "train.payloads"
    with shard.open("wb") as stream, ThreadPoolExecutor() as threads:
        for number, ((path, label), payload) in enumerate(
            zip(files, threads.map(lambda file: encoded(file[0]), files), strict=True)
        ):
            rows.append((
                number, f"{path.parent.name}/{path.name}", label, 0, stream.tell(), len(payload.data), payload.height,
                payload.width, path.stat().st_size, zlib.crc32(payload.data), payload.action, payload.reason,
            ))  # fmt: skip
            stream.write(payload.data)
    index = pa.Table.from_pylist([dict(zip(INDEX_SCHEMA.names, row, strict=True)) for row in rows], INDEX_SCHEMA)
    stored = shard.stat().st_size
    entry = ShardEntry(shard.name, len(rows), stored, "", 0, "")
    write_manifest(
        folder,
        Manifest(
            split="train", encoding=encoding, seed=0, classes=tuple(ClassEntry(one.name, one.name) for one in classes),
            shards=(entry,), layout=Layout(0, max(1, stored)), rows=len(rows), payload_bytes=stored,
            source_bytes=sum(index.column("source_bytes").to_pylist()), index_sha256=write_index(folder, index),
            logical_digest=logical_digest(index), skipped=(), versions={},
        ),
    )  # fmt: skip
    return folder
