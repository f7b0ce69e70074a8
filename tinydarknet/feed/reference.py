"""The honest baseline: the reference's own MindSpore operators on stored JPEGs, float32 out.

Ids, labels and batches follow the same order as every feed's. The random changes are drawn by MindSpore,
so they follow its seed and its workers rather than the image's id.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import numpy as np

from convert.dataset import Dataset
from convert.errors import UserError
from tinydarknet.colour import Normalization
from tinydarknet.feed.augment import CENTRE_FRACTION, Augmentation
from tinydarknet.feed.damage import DamagedImageError, UndecodableRowError
from tinydarknet.feed.jpeg_planes import decode_stored
from tinydarknet.feed.order import PADDING, PADDING_LABEL, Stream
from tinydarknet.feed.prefetch import Batch

if TYPE_CHECKING:
    from mindspore.dataset import Dataset as MindSporeDataset

_HANDED_ROWS = 4096
"""Rows remembered for error messages, more than MindSpore's queues hold."""


class ReferenceFeed:
    """Batches of image float32 [B, 3, S, S] (normalised), label int32 [B], id int64 [B]; satisfies `Feed`."""

    image_columns: tuple[str, ...] = ("image",)
    columns: tuple[str, ...] = ("image", "label", "id")
    choice: str = "feed reference: the reference's own operators, the baseline"

    def __init__(
        self,
        dataset: Dataset,
        stream: Stream,
        image_size: int,
        normalization: Normalization,
        augmentation: Augmentation | None,
        threads: int,
    ) -> None:
        """Serve `stream`'s batches; without `augmentation`, the reference's evaluation transform."""
        self.stream = stream
        self.steps = stream.steps
        self.steps_per_epoch = stream.steps_per_epoch
        self._dataset = dataset
        self._operators = operators(image_size, normalization, augmentation)
        # MindSpore refuses more workers than the machine has processors
        self._workers = min(threads, os.cpu_count() or 1)
        self._handed: deque[int] = deque(maxlen=_HANDED_ROWS)

    def __len__(self) -> int:
        """The number of batches."""
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        """Yield every batch once, in order, in arrays that stay valid."""
        return self.reused()

    def reused(self, skip: int = 0) -> Generator[Batch, None, None]:
        """The same from number `skip` on, after those before it: MindSpore makes new arrays for every batch."""
        iterator = self.dataset().create_dict_iterator(num_epochs=1, output_numpy=True, do_copy=False)
        try:
            for batch in itertools.islice(iterator, skip, None):
                yield dict(batch)
        except RuntimeError as error:
            if (explained := self.explain_error(error)) is not None:
                raise explained from None
            raise

    def dataset(self) -> MindSporeDataset:
        """The batches as a MindSpore dataset."""
        import mindspore.dataset as ds

        rows = ds.GeneratorDataset(
            _Images(self._dataset, self.stream, self._handed),
            list(self.columns),
            shuffle=False,
            num_parallel_workers=1,
        )
        mapped = rows.map(self._operators, input_columns="image", num_parallel_workers=self._workers)
        return mapped.batch(self.stream.batch_size, drop_remainder=True)

    def explain_error(self, error: RuntimeError) -> UserError | None:
        """Name the image that MindSpore could not decode; its own message says at best which operator it was."""
        if "decode" not in str(error).lower():
            return None
        handed = self._handed.copy()  # MindSpore may still be asking for rows
        damaged = next((row for row in handed if not self._decodes(row)), None)
        if damaged is None:
            return None
        reason = "is damaged, it does not decode (the host feed can replace such images, this one cannot)"
        return DamagedImageError(self._dataset, damaged, reason)

    def _decodes(self, row: int) -> bool:
        try:
            decode_stored(self._dataset, row)
        except UndecodableRowError:
            return False
        return True


def operators(image_size: int, normalization: Normalization, augmentation: Augmentation | None) -> list:
    """The reference's MindSpore operators: stored bytes in, float32 [3, S, S] out; for evaluation without `augmentation`."""
    from mindspore.dataset import vision

    finish = [vision.Normalize(mean=list(normalization.mean), std=list(normalization.std)), vision.HWC2CHW()]
    if augmentation is None:
        short_side = round(image_size / CENTRE_FRACTION)
        return [vision.Decode(), vision.Resize(short_side), vision.CenterCrop(image_size), *finish]
    scale = (augmentation.scale_min, augmentation.scale_max)
    ratio = (augmentation.ratio_min, augmentation.ratio_max)
    return [
        vision.RandomCropDecodeResize(image_size, scale=scale, ratio=ratio),
        vision.RandomHorizontalFlip(augmentation.flip),
        vision.RandomColorAdjust(
            augmentation.brightness, augmentation.contrast, augmentation.saturation, augmentation.hue
        ),
        *finish,
    ]


class _Images:
    """Stored bytes in stream order, one image a row, for GeneratorDataset."""

    def __init__(self, dataset: Dataset, stream: Stream, handed: deque[int]) -> None:
        self._dataset = dataset
        self._stream = stream
        self._handed = handed

    def __len__(self) -> int:
        return self._stream.steps * self._stream.batch_size

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.int32, np.int64]]:
        for step in range(self._stream.steps):
            _, rows = self._stream.batch_rows(step)
            for wanted in rows:
                padding = wanted == PADDING
                row = 0 if padding else int(wanted)
                self._handed.append(row)
                label = np.int32(PADDING_LABEL) if padding else self._dataset.labels[row]
                image_id = np.int64(PADDING) if padding else self._dataset.ids[row]
                yield self._dataset.payload(row), label, image_id
