"""Opens the feed that fits a dataset, for training or evaluation."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from convert.errors import BadValueError, UserError, check_integer
from tinydarknet.colour import Normalization
from tinydarknet.feed.augment import Augmentation
from tinydarknet.feed.batch_plan import Planner
from tinydarknet.feed.damage import HealthPolicy, RowHealth
from tinydarknet.feed.order import EvaluationStream, Rank, Stream, TrainingStream, steps_per_epoch
from tinydarknet.feed.prefetch import Batch, ThreadedFeed
from tinydarknet.rank_share import equal_share_threads

if TYPE_CHECKING:
    from mindspore.dataset import Dataset as MindSporeDataset

    from convert.dataset import Dataset
    from tinydarknet.feed.batch_fill import StageTimer
    from tinydarknet.feed.crops import Cropper
    from tinydarknet.feed.dvpp import DecodingRates

FeedName = Literal["auto", "planes", "dvpp", "dvpp_on_cpu", "host", "reference"]
ImagesName = Literal["planes", "rgb", "rgb_uint8"]


@dataclass(frozen=True)
class Choice:
    """The feed that was chosen, and why."""

    feed: FeedName
    sentence: str


def choose_feed(
    wanted: FeedName,
    encoding: str,
    directory: Path,
    problem: Callable[[], str | None],
    measure: Callable[[], DecodingRates],
) -> Choice:
    """Pick the feed for a dataset of this encoding.

    Args:
        wanted: by the user.
        encoding: of the dataset.
        directory: of the dataset, for messages.
        problem: why this process cannot decode by hardware, None if it can; asked only where it matters.
        measure: how fast hardware and host decode; "auto" takes the hardware only if it is faster. OSError: not to be had.

    Raises:
        UserError: the wanted feed cannot read it, or needs hardware that is not there.
    """
    if (wanted == "planes") != (encoding == "yuv420") and wanted != "auto":
        raise UserError(
            f"{directory} is stored as {encoding}, which the {wanted} feed cannot read: take the feed auto, "
            f"or convert to the encoding {'yuv420' if wanted == 'planes' else 'original'}",
            "feed",
        )
    images = f"the dataset's {encoding} images"
    if encoding == "yuv420":
        return Choice("planes", "feed planes: the dataset stores yuv420, nothing is left to decode")
    if wanted == "reference":
        return Choice("reference", "feed reference: the baseline, as asked for")
    if wanted == "host":
        return Choice("host", f"feed host: the processors decode {images}, as asked for")
    if wanted == "dvpp_on_cpu":
        return Choice("dvpp_on_cpu", f"feed dvpp_on_cpu: the processors decode {images} in the hardware's pipeline")
    reason = problem()
    if wanted == "dvpp":
        if reason is not None:
            raise UserError(
                f"the feed dvpp cannot be used, {reason}: take the feed host, or convert to the encoding yuv420", "feed"
            )
        return Choice("dvpp", f"feed dvpp: the Ascend's hardware decodes {images}, as asked for")
    if reason is None:
        try:
            rates = measure()
        except OSError as error:  # then ranks would not agree either
            reason = f"a measurement of it cannot be kept ({error})"
        else:
            if rates.dvpp > rates.host:
                return Choice("dvpp", f"feed dvpp: the Ascend's hardware decodes {images}, {rates}")
            reason = f"it decodes {rates}"
    return Choice("host", f"feed host: the processors decode {images}, not the hardware: {reason}")


class Feed(Protocol):
    """One rank's batches, made ahead on threads: a dict of numpy arrays each, by `columns`.

    Attributes:
        columns: the names of a batch's arrays: `image_columns`, then "label" and "id".
        image_columns: ("y", "uv", "colour"), or ("image",) for RGB.
        steps: batches that it yields.
        steps_per_epoch: batches of an epoch; in evaluation `steps`.
        stream: which rows come when.
        choice: one sentence: which feed this is, and why.
    """

    columns: tuple[str, ...]
    image_columns: tuple[str, ...]
    steps: int
    steps_per_epoch: int
    stream: Stream
    choice: str

    def __len__(self) -> int:
        """The same as `steps`."""
        ...

    def __iter__(self) -> Iterator[Batch]:
        """Yield every batch in order, in arrays that stay valid."""
        ...

    def reused(self, skip: int = 0) -> Generator[Batch, None, None]:
        """The fast way: the batches from number `skip` on, each valid until the next is asked for: it is written over."""
        ...

    def dataset(self) -> MindSporeDataset:
        """The batches as a MindSpore dataset with `columns`."""
        ...

    def explain_error(self, error: RuntimeError) -> UserError | None:
        """What MindSpore's error while it read `dataset()` means to the user; None if it was not the feed's."""
        ...


def open_train_feed(
    dataset: str | Path | Dataset,
    *,
    batch_size: int,
    image_size: int = 224,
    epochs: int = 1,
    seed: int = 0,
    rank: Rank = Rank(),  # noqa: B008, frozen
    first_step: int = 0,
    last_step: int | None = None,
    augmentation: Augmentation = Augmentation(),  # noqa: B008
    normalization: Normalization = Normalization(),  # noqa: B008
    images: ImagesName = "planes",
    feed: FeedName = "auto",
    health: HealthPolicy | RowHealth = HealthPolicy(),  # noqa: B008
    threads: int | None = None,
    timer: StageTimer | None = None,
) -> Feed:
    """Open one rank's augmented training batches.

    A batch is a dict of label int32 [B], id int64 [B], and the images. They depend on dataset, seed, sizes and step
    alone: neither on threads, nor on where a run was stopped, nor, at an equal global batch, on the number of ranks.

    Args:
        dataset: a dataset's folder, or the dataset itself.
        batch_size: B, images per rank and step.
        image_size: S, pixels, even.
        epochs: passes over the dataset. Each leaves out the images that fill no global batch, other ones every time.
        seed: of order and augmentation, in [0, 2**64).
        rank: whose share; every rank must be told the same of all else.
        first_step: where to begin, counted from the start of the first epoch: a resumed run's next step.
        last_step: one past the last; by default all of `epochs`, which it overrides.
        augmentation: the ranges of crop, flip and colour jitter.
        normalization: of the network, in grey levels; by default ImageNet's.
        images: "planes": y uint8 [B, 1, S, S], uv uint8 [B, 2, S/2, S/2], colour float32 [B, 3, 4], which PlanesToRgb
            turns into normalised RGB on the device. "rgb": image float32 [B, 3, S, S], normalised on the host;
            "rgb_uint8": the same as grey levels, not normalised.
        feed: how planes are made: by default the fastest way for the dataset's encoding.
        health: what to do about damaged images; by default the first ends the run. The reference feed names them only.
        threads: that make batches; by default an equal share of the processors, as if all ranks were on this host.
        timer: entered around the stages of every batch, for measurements.

    Raises:
        BadValueError: a value that cannot be used, or a dataset with fewer images than one step takes.
        UserError: no dataset, a damaged one, or one that `feed` cannot read.
    """
    opened = _opened(dataset, batch_size, image_size, rank, normalization, images, feed, threads)
    check_integer("epochs", epochs, least=1)
    check_integer("seed", seed, least=0)
    check_integer("first_step", first_step, least=0)
    _check_type("augmentation", augmentation, Augmentation)
    _check_type("health", health, HealthPolicy, RowHealth)
    per_epoch = steps_per_epoch(len(opened), batch_size, rank.of)
    if per_epoch == 0:
        raise BadValueError(
            "batch_size",
            f"must be smaller: one step takes batch_size x ranks = {batch_size * rank.of} images, "
            f"{opened.directory} has {len(opened)}",
            batch_size,
        )
    if last_step is not None:
        check_integer("last_step", last_step, least=first_step)
    elif first_step > epochs * per_epoch:
        raise BadValueError(
            "first_step", f"must be at most epochs x steps per epoch = {epochs} x {per_epoch}", first_step
        )
    end = epochs * per_epoch if last_step is None else last_step
    stream = TrainingStream(len(opened), batch_size, seed, rank.number, rank.of, first_step, end)
    planner = Planner(opened, stream, augmentation, health_of(opened, health))
    return _feed_for(planner, image_size, normalization, images, feed, threads or equal_share_threads(rank.of), timer)


def open_eval_feed(
    dataset: str | Path | Dataset,
    *,
    batch_size: int,
    image_size: int = 224,
    rank: Rank = Rank(),  # noqa: B008
    normalization: Normalization = Normalization(),  # noqa: B008
    images: ImagesName = "planes",
    feed: FeedName = "auto",
    threads: int | None = None,
) -> Feed:
    """Open one rank's evaluation batches: the centre crop, every image once over all ranks.

    What no image fills at the end has label -1 and id -1. Arguments and errors are those of `open_train_feed`.
    """
    opened = _opened(dataset, batch_size, image_size, rank, normalization, images, feed, threads)
    stream = EvaluationStream(len(opened), batch_size, rank.number, rank.of)
    planner = Planner(opened, stream, None, RowHealth(opened, HealthPolicy()))
    return _feed_for(planner, image_size, normalization, images, feed, threads or equal_share_threads(rank.of))


def health_of(dataset: Dataset, health: HealthPolicy | RowHealth) -> RowHealth:
    """The damaged rows of a dataset: those that are known already, or none yet."""
    return RowHealth(dataset, health) if isinstance(health, HealthPolicy) else health


def _opened(
    dataset: str | Path | Dataset,
    batch_size: int,
    image_size: int,
    rank: Rank,
    normalization: Normalization,
    images: str,
    feed: str,
    threads: int | None,
) -> Dataset:
    """Check what training and evaluation are both given, then open the dataset."""
    from convert.dataset import Dataset  # loads Arrow, which --help has no use for

    check_integer("batch_size", batch_size, least=1)
    check_integer("image_size", image_size, least=2)
    if image_size % 2:
        raise BadValueError("image_size", "must be even, so that half-size chroma fits", image_size)
    if threads is not None:
        check_integer("threads", threads, least=1)
    _check_type("rank", rank, Rank)
    _check_type("normalization", normalization, Normalization)
    for name, value, names in (("images", images, get_args(ImagesName)), ("feed", feed, get_args(FeedName))):
        if value not in names:
            raise BadValueError(name, f"must be one of {', '.join(names)}", value)
    if isinstance(dataset, Dataset):
        return dataset
    if not isinstance(dataset, (str, os.PathLike)):
        raise BadValueError("dataset", "must be a folder's path or an open dataset", dataset)
    directory = Path(dataset)
    if directory.is_file():
        raise BadValueError("dataset", "must be a dataset's folder, not a file", str(dataset))
    return Dataset(directory)


def _check_type(name: str, value: object, *kinds: type) -> None:
    if not isinstance(value, kinds):
        raise BadValueError(name, f"must be {' or '.join(f'a {kind.__name__}' for kind in kinds)}", value)


def _feed_for(
    planner: Planner,
    image_size: int,
    normalization: Normalization,
    images: ImagesName,
    feed: FeedName,
    threads: int,
    timer: StageTimer | None = None,
) -> Feed:
    # here, because they load OpenCV and numba, which nobody waits for who asks for --help
    from tinydarknet.feed.batch_fill import BatchFiller, BatchImages, PlaneImages, RgbImages
    from tinydarknet.feed.dvpp import DvppFeed, hardware_problem, measured_rates

    dataset = planner.dataset
    encoding = dataset.manifest.encoding.name

    def make_images(crop: Cropper | None = None) -> BatchImages:
        if images == "planes":
            return PlaneImages(planner, image_size, normalization, crop)
        return RgbImages(planner, image_size, normalization if images == "rgb" else None, crop)

    def by_processors(choice: str = "") -> ThreadedFeed:
        return ThreadedFeed(BatchFiller(planner, make_images(), timer), threads, choice)

    def measure() -> DecodingRates:
        return measured_rates(DvppFeed(planner, make_images, threads), by_processors(), encoding, threads)

    choice = choose_feed(feed, encoding, dataset.directory, hardware_problem, measure)
    if choice.feed == "reference":
        if images == "rgb_uint8":
            raise BadValueError("images", "must be planes or rgb: the feed reference makes float32 RGB", images)
        from tinydarknet.feed.reference import ReferenceFeed

        return ReferenceFeed(dataset, planner.stream, image_size, normalization, planner.augmentation, threads)
    if choice.feed in ("dvpp", "dvpp_on_cpu"):
        where = "Ascend" if choice.feed == "dvpp" else "CPU"
        return DvppFeed(planner, make_images, threads, choice.sentence, timer, where)
    return by_processors(choice.sentence)
