"""FFCV's own file of pixels or JPEGs, read and augmented by its compiled loops."""
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.peer_loaders.protocol import Loader, Request, long_list

_FILE_NAME = "images.beton"
_MAX_SIDE = {"jpg": 500, "raw": 350}
"""Longest side of stored images, pixels: ffcv-imagenet's own choices."""
_QUALITY = 90


def loader(variant: str) -> Loader:
    """The loader of images stored as "jpg" or "raw"."""
    return _Ffcv(variant)


class _Ffcv:
    gives = "uint8 [B, S, S, 3]"

    def __init__(self, mode: str) -> None:
        self.reads = f"its own file, {mode}, longest side {_MAX_SIDE[mode]}"
        self._mode = mode

    def prepare(self, request: Request) -> None:
        from ffcv.fields import IntField, RGBImageField
        from ffcv.writer import DatasetWriter

        field = RGBImageField(write_mode=self._mode, max_resolution=_MAX_SIDE[self._mode], jpeg_quality=_QUALITY)
        writer = DatasetWriter(str(request.folder / _FILE_NAME), {"image": field, "label": IntField()}, num_workers=1)
        writer.from_indexed_dataset(_FfcvDataset(request))

    def batches(self, request: Request) -> Iterator[Any]:
        import numpy as np
        from ffcv.fields.basics import IntDecoder
        from ffcv.fields.rgb_image import RandomResizedCropRGBImageDecoder
        from ffcv.loader import Loader as FfcvLoader
        from ffcv.loader import OrderOption
        from ffcv.transforms import RandomHorizontalFlip, ToTensor

        size = (request.image_size, request.image_size)
        loading = FfcvLoader(
            str(request.folder / _FILE_NAME),
            batch_size=request.batch_size,
            num_workers=request.workers,
            order=OrderOption.RANDOM,
            indices=np.arange(len(long_list(request.images))) % len(request.images),
            os_cache=True,
            drop_last=True,
            pipelines={
                "image": [RandomResizedCropRGBImageDecoder(size), RandomHorizontalFlip(), ToTensor()],
                "label": [IntDecoder(), ToTensor()],
            },
        )
        while True:
            for images, _ in loading:
                yield images


class _FfcvDataset:
    """What FFCV's writer wants: (pixels, label) by index."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def __len__(self) -> int:
        return len(self._request.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        import numpy as np
        from PIL import Image

        path = self._request.images[index]
        return np.asarray(Image.open(path).convert("RGB")), self._request.label(path)
