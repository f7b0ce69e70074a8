"""What one batch costs, stage by stage, on one thread: read, crop or decode, batch; and what handing it over costs."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.instruments.hooks import PAGE_BYTES, FeedProbe, StageTimes
from tinydarknet.feed.order import Stream, TrainingStream
from tinydarknet.feed.prefetch import Batch, ThreadedFeed

if TYPE_CHECKING:
    from benchmarks.instruments.training_feed import TrainingFeed
    from tinydarknet.feed.loader import Feed

_WARMUP_BATCHES = 4
"""More than a feed on one thread makes ahead."""
_PIPELINE_BATCHES = 20
"""More than MindSpore's pipeline holds ready: 16."""


def time_stages(opening: TrainingFeed, batches: int) -> StageTimes:
    """Milliseconds of read, crop (or decode) and batch, for `batches` batches of a feed on one thread."""
    if opening.feed == "reference":
        return _reference_stages(opening, batches)
    from convert.dataset import Dataset

    records = Dataset(opening.directory)
    probe = FeedProbe(records, "crop" if opening.encoding == "yuv420" else "decode", opening.timer)
    opening = dataclasses.replace(opening, timer=probe.timer)
    for _ in opening.open(batches + _WARMUP_BATCHES, threads=1, dataset=records).reused():
        pass
    return probe.times(skip=_WARMUP_BATCHES)


def time_feed(feed: Feed, batches: int, threads: int) -> list[float]:
    """Milliseconds between `batches` batches of a feed when nothing else is at work; those made ahead are not counted."""
    ahead = _WARMUP_BATCHES + threads
    with contextlib.closing(feed.reused()) as made:
        return _intervals(made, ahead, batches)


def time_transfer(batch: Batch, columns: tuple[str, ...], batches: int, arrive: Callable[..., object]) -> list[float]:
    """Milliseconds between `batches` tensors of one batch that is ready at once, each waited for by `arrive`."""
    feed = ThreadedFeed(ReadyBatch(batch, columns[:-2], batches + _PIPELINE_BATCHES), threads=1)
    made = feed.dataset().create_tuple_iterator(num_epochs=1, do_copy=False)
    return _intervals((arrive(*columns) for columns in made), _PIPELINE_BATCHES, batches)


class ReadyBatch:
    """The same batch again and again, made of nothing; satisfies `BatchSource`."""

    def __init__(self, batch: Batch, image_columns: tuple[str, ...], steps: int) -> None:
        rows = len(batch["id"])
        self.image_columns = image_columns
        self.stream: Stream = TrainingStream(rows, rows, seed=0, rank=0, world_size=1, first_step=0, last_step=steps)
        self._batch = {name: np.array(batch[name]) for name in (*image_columns, "label", "id")}

    def allocate(self) -> Batch:
        """The batch."""
        return self._batch

    def fill(self, step: int, batch: Batch) -> None:
        """Leave it as it is."""


def _intervals(made: Iterator[Any], skip: int, count: int) -> list[float]:
    moments = []
    for number, _ in enumerate(made, start=1):
        if number >= skip:
            moments.append(time.perf_counter())
        if len(moments) > count:
            break
    return [1e3 * (after - before) for before, after in itertools.pairwise(moments)]


def _reference_stages(opening: TrainingFeed, batches: int) -> StageTimes:
    """The reference's operators one after the other, as its feed calls them."""
    from convert.dataset import Dataset
    from tinydarknet.colour import IMAGENET
    from tinydarknet.feed.augment import Augmentation
    from tinydarknet.feed.reference import operators

    records = Dataset(opening.directory)
    stream = TrainingStream(len(records), opening.batch_size, 0, opening.rank, opening.world_size, 0, batches + 1)
    decode, *rest = operators(opening.image_size, IMAGENET, Augmentation())
    times: StageTimes = {"read": [], "decode": [], "augment": [], "batch": []}
    for step in range(stream.steps):
        _, rows = stream.batch_rows(step)
        with _timed(times["read"]):
            for row in rows.tolist():
                records.payload(row)[::PAGE_BYTES].max()
        with _timed(times["decode"]):
            images = [decode(records.payload(row)) for row in rows]
        with _timed(times["augment"]):
            for operator in rest:
                images = [operator(image) for image in images]
        with _timed(times["batch"]):
            np.stack(images)
    return {name: values[1:] for name, values in times.items()}


@contextlib.contextmanager
def _timed(values: list[float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    values.append(1e3 * (time.perf_counter() - start))
