"""Picks the feed that fits a dataset, and builds it for training or evaluation."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from convert.dataset import Dataset
from convert.errors import UserError
from tinydarknet.colour import Normalization
from tinydarknet.feed.augment import Augmentation
from tinydarknet.feed.batch_plan import Drawing
from tinydarknet.feed.damage import HealthPolicy, RowHealth
from tinydarknet.feed.order import EvaluationStream, TrainingStream
from tinydarknet.feed.prefetch import Batch, ThreadedFeed
from tinydarknet.rank_share import equal_share_threads

if TYPE_CHECKING:
    from mindspore.dataset import Dataset as MindSporeDataset


FeedName = Literal["auto", "planes", "dvpp", "host", "reference"]

_ASCEND_DRIVER = Path("/dev/davinci_manager")


@dataclass(frozen=True)
class Choice:
    """The feed that was chosen, and why."""

    feed: FeedName
    sentence: str


def hardware_problem() -> str | None:
    """Why this host cannot decode by hardware; None if it can."""
    if not _ASCEND_DRIVER.exists():
        return "there is no Ascend driver"
    from tinydarknet.feed.dvpp import device_problem

    return device_problem()


def choose_feed(
    wanted: FeedName, encoding: str, directory: Path, problem: Callable[[], str | None] = hardware_problem
) -> Choice:
    """Pick the feed for a dataset of this encoding.

    Raises:
        UserError: the wanted feed cannot read it, or needs hardware that is not there.
    """
    if (wanted == "planes") != (encoding == "yuv420") and wanted != "auto":
        raise UserError(
            f"{directory} is stored as {encoding}, which the {wanted} feed cannot read: "
            f"use --feed auto, or convert with --encoding {'yuv420' if wanted == 'planes' else 'original'}"
        )
    if encoding == "yuv420":
        return Choice("planes", "feed planes: the dataset stores yuv420, nothing is left to decode")
    if wanted == "reference":
        return Choice("reference", "feed reference: the baseline, as asked for")
    if wanted == "host":
        return Choice("host", f"feed host: OpenCV decodes the dataset's {encoding} images, as asked for")
    reason = problem()
    if reason is None:
        return Choice("dvpp", f"feed dvpp: the Ascend's hardware decodes the dataset's {encoding} images")
    if wanted == "dvpp":
        raise UserError(f"the feed dvpp cannot be used, {reason}: take --feed host, or convert with --encoding yuv420")
    return Choice("host", f"feed host: OpenCV decodes the dataset's {encoding} images, not the hardware: {reason}")


STRICT = HealthPolicy()
"""A damaged image ends the run."""


class Feed(Protocol):
    """Batches for training or evaluation, ready made."""

    columns: tuple[str, ...]
    """("y", "uv", "colour", "label", "id") or ("image", "label", "id")."""
    steps: int
    """Batches it yields."""
    choice: str
    """One sentence: which feed this is, and why."""

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches as numpy arrays, each valid until the next is asked for."""
        ...

    def batches(self) -> Generator[Batch, None, None]:
        """The same as a generator, which can be closed early."""
        ...

    def dataset(self) -> MindSporeDataset:
        """The batches as a MindSpore dataset with `columns`."""
        ...

    def told(self, error: RuntimeError) -> UserError | None:
        """What MindSpore's error while it read `dataset()` means to the user; None if it was not the feed's."""
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
        feed: see `tinydarknet.feed.loader`.
        health: what to do about damaged images; the reference feed leaves them to MindSpore.
        threads: that make batches; by default an equal share of the processors, as if all ranks were on this host.

    Raises:
        UserError: no dataset, a damaged one, one with fewer images than a step takes, or one that `feed` cannot read.
    """
    records = Dataset(directory)
    try:
        stream = TrainingStream(len(records), batch_size, seed, rank, world_size, first_step, last_step)
    except ValueError as error:
        raise UserError(f"{directory}: {error}") from error
    drawing = Drawing(records, stream, image_size, augmentation, RowHealth(records, health))
    return feed_for(drawing, normalization, feed, threads or equal_share_threads(world_size))


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
    records = Dataset(directory)
    stream = EvaluationStream(len(records), batch_size, rank, world_size)
    drawing = Drawing(records, stream, image_size, None, RowHealth(records, STRICT))
    return feed_for(drawing, normalization, feed, threads or equal_share_threads(world_size))


def feed_for(drawing: Drawing, normalization: Normalization, feed: FeedName, threads: int) -> Feed:
    """Pick and build the feed that makes the batches of `drawing`.

    Raises:
        UserError: `feed` cannot read the dataset.
    """
    # here, because they load OpenCV and numba, which nobody waits for who asks for --help
    from tinydarknet.feed.dvpp import DvppSource
    from tinydarknet.feed.planes import PlanesSource
    from tinydarknet.feed.reference import ReferenceFeed

    records = drawing.records
    choice = choose_feed(feed, records.manifest.encoding.name, records.directory)
    if choice.feed == "reference":
        return ReferenceFeed(records, drawing.stream, drawing.image_size, normalization, drawing.augmentation, threads)
    source = (DvppSource if choice.feed == "dvpp" else PlanesSource)(drawing, normalization)
    return ThreadedFeed(source, threads, choice.sentence)
