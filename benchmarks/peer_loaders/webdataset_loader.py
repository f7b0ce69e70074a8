"""WebDataset's tar shards, decoded by Pillow, with torchvision's transforms."""
# pyright: reportMissingImports=false

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from typing import Any

from benchmarks.peer_loaders.protocol import Loader, Request
from benchmarks.peer_loaders.torchvision_loader import transforms

_TAR_NAME = "images.tar"
_SHUFFLE_IMAGES = 1000


def loader(variant: str) -> Loader:  # noqa: ARG001
    """The loader."""
    return _WebDataset()


class _WebDataset:
    reads = "tar of JPEG files"
    gives = "uint8 [B, 3, S, S]"

    def prepare(self, request: Request) -> None:
        with tarfile.open(request.folder / _TAR_NAME, "w") as tar:
            for number, image in enumerate(request.images):
                _add(tar, f"{number:06d}.jpg", image.read_bytes())
                _add(tar, f"{number:06d}.cls", str(request.label(image)).encode())

    def batches(self, request: Request) -> Iterator[Any]:
        import webdataset as wds

        data = (
            wds.WebDataset(str(request.folder / _TAR_NAME), resampled=True)  # endless: no epoch ends in a batch
            .shuffle(_SHUFFLE_IMAGES)
            .decode("pil")
            .to_tuple("jpg", "cls")
            .map_tuple(transforms(request.image_size), int)
            .batched(request.batch_size, partial=False)
        )
        for images, _ in wds.WebLoader(data, batch_size=None, num_workers=request.workers):
            yield images


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))
