"""NVIDIA DALI on the CPU: decoding and cropping in one operator."""
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.peer_loaders.protocol import Loader, ReadsFiles, Request, long_list


def loader(variant: str) -> Loader:  # noqa: ARG001
    """The loader."""
    return _Dali()


class _Dali(ReadsFiles):
    gives = "uint8 [B, S, S, 3]"

    def batches(self, request: Request) -> Iterator[Any]:
        from nvidia.dali import fn, pipeline_def, types

        files = long_list(request.images)

        @pipeline_def(batch_size=request.batch_size, num_threads=request.workers, device_id=None, seed=0)
        def training() -> Any:
            jpegs, _ = fn.readers.file(files=list(map(str, files)), random_shuffle=True, initial_fill=1000)
            images = fn.decoders.image_random_crop(
                jpegs, device="cpu", output_type=types.RGB, random_area=[0.08, 1.0], random_aspect_ratio=[3 / 4, 4 / 3]
            )
            images = fn.resize(images, size=[request.image_size, request.image_size], interp_type=types.INTERP_LINEAR)
            return fn.flip(images, horizontal=fn.random.coin_flip(probability=0.5))

        pipeline = training()
        pipeline.build()
        while True:
            (images,) = pipeline.run()
            yield images.as_array()
