"""SPDL: FFmpeg's decoder and filters on threads, whole batches without the interpreter lock."""
# pyright: reportMissingImports=false

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peer_loaders.protocol import Loader, ReadsFiles, Request

_TRIES = 10


def loader(variant: str) -> Loader:  # noqa: ARG001
    """The loader."""
    return _Spdl()


class _Spdl(ReadsFiles):
    gives = "uint8 [B, S, S, 3]"

    def batches(self, request: Request) -> Iterator[Any]:
        import spdl.io
        from spdl.pipeline import PipelineBuilder

        def load(paths: list[Path]) -> Any:
            frames = [_decode(path, request.image_size) for path in paths]
            return spdl.io.to_numpy(spdl.io.convert_frames(frames))

        pipeline = (
            PipelineBuilder()
            .add_source(_random_batches(request))
            .pipe(load, concurrency=request.workers)
            .add_sink(2)
            .build(num_threads=request.workers)
        )
        with pipeline.auto_stop():
            yield from pipeline


def _decode(path: Path, image_size: int) -> Any:
    import spdl.io

    packets = spdl.io.demux_image(str(path))
    width, height = packets.codec.width, packets.codec.height
    crop_width, crop_height = _window(width, height)
    left, top = random.randint(0, width - crop_width), random.randint(0, height - crop_height)
    flip = "hflip," if random.random() < 0.5 else ""
    steps = f"crop={crop_width}:{crop_height}:{left}:{top},scale={image_size}:{image_size},{flip}format=pix_fmts=rgb24"
    return spdl.io.decode_packets(packets, filter_desc=steps)


def _window(width: int, height: int) -> tuple[int, int]:
    """Width and height of a random resized crop, as torchvision draws it."""
    for _ in range(_TRIES):
        area = width * height * random.uniform(0.08, 1.0)
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        crop_width, crop_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            return crop_width, crop_height
    side = min(width, height)
    return side, side


def _random_batches(request: Request) -> Iterator[list[Path]]:
    while True:
        yield random.choices(request.images, k=request.batch_size)
