"""What one batch costs, stage by stage, on one thread: the same calls that the feeds make, timed one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tinydarknet.colour import IMAGENET
from tinydarknet.feed.augment import Augmentation
from tinydarknet.feed.drawing import Drawing
from tinydarknet.feed.health import HealthPolicy, RowHealth
from tinydarknet.feed.records import Records
from tinydarknet.feed.source import PlanesSource
from tinydarknet.feed.stream import TrainingStream

PAGE_BYTES = 4096
StageTimes = dict[str, list[float]]
"""Milliseconds of every batch, by stage, in the order in which a batch goes through them."""


def time_stages(directory: Path, batch_size: int, image_size: int, batches: int) -> StageTimes:
    """Time read, crop (or decode) and batch for `batches` training batches of a dataset, after one warm-up batch."""
    records = Records(directory)
    stream = TrainingStream(len(records), batch_size, 0, 0, 1, 0, batches + 1)
    if records.manifest.encoding.name == "yuv420":
        times = _planes_stages(records, stream, image_size)
    else:
        times = _reference_stages(records, stream, image_size)
    return {name: values[1:] for name, values in times.items()}


def _planes_stages(records: Records, stream: TrainingStream, image_size: int) -> StageTimes:
    drawing = Drawing(records, stream, image_size, Augmentation(), RowHealth(records, HealthPolicy()))
    source = PlanesSource(drawing, IMAGENET)
    batch = source.allocate()
    times: StageTimes = {"read": [], "crop": [], "batch": []}
    for step in range(stream.steps):
        drawn = drawing.draw(step)
        with _timed(times["read"]):
            records.will_need(drawn.rows)
            _touch(records, drawn.rows)
        with _timed(times["crop"]):
            source.crop(drawn, batch)
        with _timed(times["batch"]):
            drawing.draw(step)  # what a batch holds is decided once per batch, too
            source.finish(drawn, batch)
    return times


def _reference_stages(records: Records, stream: TrainingStream, image_size: int) -> StageTimes:
    from tinydarknet.feed.reference import operators

    decode, *rest = operators(image_size, IMAGENET, Augmentation())
    times: StageTimes = {"read": [], "decode": [], "augment": [], "batch": []}
    for step in range(stream.steps):
        _, ids = stream.batch_rows(step)
        with _timed(times["read"]):
            _touch(records, ids)
        with _timed(times["decode"]):
            images = [decode(records.payload(row)) for row in ids]
        with _timed(times["augment"]):
            for operator in rest:
                images = [operator(image) for image in images]
        with _timed(times["batch"]):
            np.stack(images)
    return times


def _touch(records: Records, rows: np.ndarray) -> None:
    """Bring every page of the rows' payloads in, as the first use of the memory map does."""
    for row in rows.tolist():
        records.payload(row)[::PAGE_BYTES].max()


@contextmanager
def _timed(values: list[float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    values.append(1e3 * (time.perf_counter() - start))
