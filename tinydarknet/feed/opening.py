"""Picks the feed that fits a dataset, and builds it for training or evaluation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from convert.errors import UserError
from tinydarknet.colour import Normalization
from tinydarknet.feed.augment import Augmentation
from tinydarknet.feed.health import HealthPolicy, RowHealth
from tinydarknet.feed.records import Records
from tinydarknet.feed.reference import ReferenceFeed
from tinydarknet.feed.source import PlanesSource
from tinydarknet.feed.stream import EvaluationStream, Stream, TrainingStream
from tinydarknet.feed.threaded import Batch, ThreadedFeed

if TYPE_CHECKING:
    from mindspore.dataset import Dataset

FeedName = Literal["auto", "planes", "host", "reference"]


STRICT = HealthPolicy()
"""A damaged image ends the run."""


class Feed(Protocol):
    """Batches for training or evaluation, ready made."""

    columns: tuple[str, ...]
    """("y", "uv", "colour", "label", "id") or ("image", "label", "id")."""
    steps: int
    """Batches it yields."""

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches as numpy arrays, each valid until the next is asked for."""
        ...

    def dataset(self) -> Dataset:
        """The batches as a MindSpore dataset with `columns`."""
        ...


def open_train_feed(
    directory: Path,
    *,
    batch_size: int,
    image_size: int,
    seed: int,
    rank: int,
    world_size: int,
    first_step: int,
    last_step: int,
    augmentation: Augmentation,
    normalization: Normalization,
    feed: FeedName = "auto",
    health: HealthPolicy = STRICT,
    threads: int | None = None,
) -> Feed:
    """Open the augmented training batches of one rank for global steps [first_step, last_step).

    Args:
        directory: the dataset.
        batch_size: images per rank and step.
        image_size: S, even pixels.
        seed: of order and augmentation.
        rank: this process, in [0, world_size).
        world_size: number of ranks.
        first_step: counted from the start of the run, over all epochs.
        last_step: one past the last.
        augmentation: what is drawn for each image.
        normalization: of the network.
        feed: planes reads yuv420; host decodes JPEGs with OpenCV; reference decodes them as the reference did;
            auto takes planes where it can, else host.
        health: what to do about damaged images; the reference feed leaves them to MindSpore.
        threads: that make batches; by default one for every processor this rank may use.

    Raises:
        UserError: no dataset, a damaged one, one with fewer images than a step takes, or one that `feed` cannot read.
    """
    records = Records(directory)
    try:
        stream = TrainingStream(len(records), batch_size, seed, rank, world_size, first_step, last_step)
    except ValueError as error:
        raise UserError(f"{directory}: {error}") from error
    return _build(records, stream, image_size, normalization, augmentation, feed, health, threads)


def open_eval_feed(
    directory: Path,
    *,
    batch_size: int,
    image_size: int,
    rank: int,
    world_size: int,
    normalization: Normalization,
    feed: FeedName = "auto",
    threads: int | None = None,
) -> Feed:
    """Open the evaluation batches of one rank: centre crop, every image once over all ranks, padding labelled -1.

    Arguments and errors are those of `open_train_feed`.
    """
    records = Records(directory)
    stream = EvaluationStream(len(records), batch_size, rank, world_size)
    return _build(records, stream, image_size, normalization, None, feed, STRICT, threads)


def _build(
    records: Records,
    stream: Stream,
    image_size: int,
    normalization: Normalization,
    augmentation: Augmentation | None,
    feed: FeedName,
    health: HealthPolicy,
    threads: int | None,
) -> Feed:
    stored = records.manifest.encoding.name
    if feed == "auto":
        feed = "planes" if stored == "yuv420" else "host"
    if (feed == "planes") != (stored == "yuv420"):
        raise UserError(
            f"{records.directory} is stored as {stored}, which the {feed} feed cannot read: "
            f"use --feed auto, or convert with --encoding {'yuv420' if feed == 'planes' else 'original'}"
        )
    threads = threads or _default_threads()
    if feed == "reference":
        return ReferenceFeed(records, stream, image_size, normalization, augmentation, threads)
    return ThreadedFeed(
        PlanesSource(records, stream, image_size, normalization, augmentation, RowHealth(records, health)), threads
    )


def _default_threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
