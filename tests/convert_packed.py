"""The same images in every packaging."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from convert.dataset.classes import load_imagenet1k

LABEL_OF = {entry.wnid: label for label, entry in enumerate(load_imagenet1k())}
DEVKIT_ID = {entry.wnid: entry.devkit_id for entry in load_imagenet1k()}


def images(split: Path) -> list[tuple[str, str, bytes]]:
    """wnid, name and bytes of all images, in an order of its own."""
    return [
        (path.parent.name, path.name, path.read_bytes())
        for path in sorted(split.glob("*/*"), key=lambda path: path.name[::-1])
    ]


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def class_tars(split: Path, folder: Path) -> Path:
    folder.mkdir()
    for wnid in {wnid for wnid, *_ in images(split)}:
        with tarfile.open(folder / f"{wnid}.tar", "w") as archive:
            for found, name, data in images(split):
                if found == wnid:
                    add(archive, name, data)
    return folder


def tar_of_tars(split: Path, folder: Path) -> Path:
    path = folder.with_suffix(".tar")
    with tarfile.open(path, "w") as archive:
        for inner in sorted(class_tars(split, folder).iterdir()):
            archive.add(inner, inner.name)
    return path


def tar_of_folders(split: Path, folder: Path) -> Path:
    path = folder.with_suffix(".tar")
    with tarfile.open(path, "w") as archive:
        archive.add(split, "train")
    return path


def webdataset(split: Path, folder: Path, labels=LABEL_OF) -> Path:
    folder.mkdir()
    found = images(split)
    for shard in range(2):
        with tarfile.open(folder / f"imagenet1k-{split.name}-{shard:04d}.tar", "w") as archive:
            for wnid, name, data in found[shard::2]:
                add(archive, f"{Path(name).stem}.cls", str(labels[wnid]).encode())
                add(archive, f"{Path(name).stem}.jpg", data)
    return folder


def parquet(split: Path, folder: Path, labels=LABEL_OF) -> Path:
    folder.mkdir()
    found = images(split)
    for number in range(2):
        rows = [
            {"image": {"bytes": data, "path": f"{Path(name).stem}_{wnid}.JPEG"}, "label": labels[wnid]}
            for wnid, name, data in found[number::2]
        ]
        pq.write_table(
            pa.Table.from_pylist(rows), folder / f"{split.name}-{number:05d}-of-00002.parquet", row_group_size=7
        )
    return folder


def all_splits(package, tree: Path, folder: Path) -> Path:
    """The train and val folders of `tree`, packed by `package` into one folder, as Hugging Face has them."""
    folder.mkdir()
    for split in ("train", "val"):
        for path in sorted(package(tree / split, folder / split).iterdir()):
            path.rename(folder / path.name)
        (folder / split).rmdir()
    return folder


PACKAGINGS = [class_tars, tar_of_tars, tar_of_folders, webdataset, parquet]
