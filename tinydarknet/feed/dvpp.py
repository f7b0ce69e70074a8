"""JPEGs decoded by the Ascend's own hardware (DVPP), in MindSpore's pipeline; cropped and resized on the host.

    a pass's rows -> GeneratorDataset (stored bytes) -> map(Decode on the device, C++ workers)
                                                                -> a step's images -> kernels.crop_rgb -> the batch

Never run on Ascend: the same pipeline runs on the CPU, and is tested so. Why it is as it is, by MindSpore 2.8.0's code:

- a worker makes itself a stream on the card that nothing gives back (map_op.cc, InitResource): one pipeline serves a pass;
- an image that does not decode ends it, and to skip such images drops others beside them: a new one begins at that step;
- its end crashes the process where its reader is a thread that MindSpore did not make, nor began in (task_manager.cc,
  FindMe): it is read on the thread that asks for the batches, which must be the main one or `dataset()`'s.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import platform
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from convert.dataset import Dataset
from convert.errors import UserError
from convert.json_fields import from_json, parse_object, write_json
from tinydarknet.ascend import DRIVER, present_chip, reason_of
from tinydarknet.feed.augment import Windows
from tinydarknet.feed.batch_fill import BatchFiller, BatchImages, StageTimer
from tinydarknet.feed.batch_plan import Planner
from tinydarknet.feed.crops import Cropper
from tinydarknet.feed.jpeg_planes import decode_windows
from tinydarknet.feed.jpeg_window import ACROSS, CUT, DOWN, RESULT_COLUMNS, STATUS, check_files
from tinydarknet.feed.kernels import crop_rgb
from tinydarknet.feed.order import PADDING
from tinydarknet.feed.prefetch import Batch, ThreadedFeed

JPEGD_SIDE_MIN, JPEGD_SIDE_MAX = 32, 16384
"""Pixels a side that the hardware decodes: acldvppDecodeJpeg, CANN 8.5.0 (hiascend.com, canncommercial/850/API/aolapi/
operatorlist_00065); it leaves others, and what its hardware cannot decode, to libjpeg-turbo on the card's own processors,
which are slower than the host's. Progressive and arithmetically coded files are such (JPEGD, CANN 9.0.0, dvpp/
aclcppdevg_03_0355)."""

_LEVELS_REPEATED = 8
"""Most grey levels between pixels of one chroma sample where it is repeated; an interpolated edge makes 28."""

Where = Literal["Ascend", "CPU"]
"""Where MindSpore decodes: the processors run the same pipeline, to try it without a card."""


@dataclass(frozen=True)
class Decoded:
    """A batch's images, as far as MindSpore has decoded them."""

    images: dict[int, np.ndarray]
    """uint8 [H, W, 3] RGB, by row."""
    spans: dict[int, tuple[int, int]]
    """Rows and columns that a chroma sample spans, by row of the dataset."""
    interpolated: bool
    """Whether the decoder interpolates between chroma samples, or repeats them."""


class DvppFeed(ThreadedFeed):
    """A feed whose images MindSpore's pipeline has decoded before its threads crop them."""

    def __init__(
        self,
        planner: Planner,
        make_images: Callable[[Cropper], BatchImages],
        threads: int,
        choice: str = "",
        timer: StageTimer | None = None,
        where: Where = "Ascend",
    ) -> None:
        """Decode the images of `planner`'s stream; `make_images` makes what a batch holds by way of a cropper."""
        super().__init__(BatchFiller(planner, make_images(decode_windows), timer), threads, choice)
        self.where: Where = where
        self._planner, self._make_images, self._timer = planner, make_images, timer
        self._workers = min(threads, os.cpu_count() or 1)  # MindSpore refuses more than there are processors
        self._refused: set[int] = set()

    def _fills(self, first: int) -> Generator[Callable[[Batch], None], None, None]:
        with contextlib.closing(self._decoded(first)) as decoded:
            try:
                for step, batch in enumerate(decoded, first):
                    made = self._make_images(functools.partial(crop_decoded, batch))
                    yield functools.partial(BatchFiller(self._planner, made, self._timer).fill, step)
            except UserError as error:  # the batches before it come first
                yield functools.partial(_fail, error)

    def _decoded(self, first: int) -> Generator[Decoded, None, None]:
        """The images of every step from `first` on, without those that the device does not take."""
        if (problem := thread_problem()) is not None:
            raise UserError(f"the feed dvpp cannot be read here, {problem}, or take the feed host", "feed")
        interpolated = interpolates_chroma(self.where)
        while first < self.steps:
            spans_of = functools.lru_cache(16)(self._spans_for_device)  # both ends of the pipeline ask
            pipeline = _Pipeline(self._planner, first, spans_of, self._workers, self.where)
            try:
                while first < self.steps:
                    yield Decoded(pipeline.next_step(first), spans_of(first), interpolated)
                    first += 1
            except RuntimeError as error:
                pipeline.close()
                self._refuse(set(pipeline.under_way), reason_of(error))
            finally:
                pipeline.close()

    def _spans_for_device(self, step: int) -> dict[int, tuple[int, int]]:
        """The rows that the device decodes for a step, of its batch before any is replaced; with `Decoded.spans`."""
        dataset, (_, rows) = self._planner.dataset, self._planner.stream.batch_rows(step)
        rows = np.unique(np.where(rows == PADDING, 0, rows))
        dataset.check_present(rows)
        spans = zip(rows.tolist(), map(tuple, hardware_spans(dataset, rows).tolist()), strict=True)
        return {row: span for row, span in spans if all(span) and row not in self._refused}

    def _refuse(self, under_way: set[int], end: str) -> None:
        """Find out which rows under way a pipeline has ended at, and leave them to the host from now on; `end` is its reason.

        Raises:
            UserError: it was not an image's fault.
        """
        from mindspore.dataset import vision

        reason = decoding_problem(self.where)
        before = len(self._refused)
        for row in sorted(under_way) if reason is None else ():
            try:
                vision.Decode().device(self.where)(self._planner.dataset.payload(row))
            except RuntimeError as refusal:
                self._refused.add(row)
                name = self._planner.dataset.describe(row)
                print(f"{name} is left to the host, the device refuses it: {reason_of(refusal)}", file=sys.stderr)
        if len(self._refused) == before:
            raise UserError(f"no image is decoded any more, {reason or end}: take the feed host", "feed")


class _Pipeline:
    """Some steps' images from MindSpore, in order; RuntimeError, for good, at one that does not decode."""

    def __init__(
        self, planner: Planner, first: int, rows_of: Callable[[int], Iterable[int]], workers: int, where: Where
    ) -> None:
        import mindspore.dataset as ds
        from mindspore.dataset import vision

        self.under_way: deque[int] = deque()
        """Rows given to MindSpore that have not come back."""
        self._planner, self._first, self._rows_of = planner, first, rows_of
        self._closed = threading.Event()
        stored = ds.GeneratorDataset(self._payloads, ["image"], shuffle=False, num_parallel_workers=1)
        decoded = stored.map(vision.Decode().device(where), "image", num_parallel_workers=workers)
        self._images = decoded.create_tuple_iterator(num_epochs=1, output_numpy=True, do_copy=False)

    def next_step(self, step: int) -> dict[int, np.ndarray]:
        """The images of the step that follows the last one asked for, by row."""
        images: dict[int, np.ndarray] = {}
        for row in self._rows_of(step):
            (images[row],) = next(self._images)
            self.under_way.popleft()
        return images

    def close(self) -> None:
        """Stop MindSpore's threads."""
        self._closed.set()
        self._images.stop()

    def _payloads(self) -> Iterator[tuple[np.ndarray]]:
        """What MindSpore asks for, ahead of `next_step`; never waits for it, so that it can be stopped."""
        for step in range(self._first, self._planner.stream.steps):
            self._planner.read_ahead(step)
            try:
                rows = self._rows_of(step)
            except UserError:  # comes from `next_step` too, where somebody hears it
                return
            for row in rows:
                if self._closed.is_set():
                    return
                self.under_way.append(row)
                yield (self._planner.dataset.payload(row),)


def crop_decoded(
    batch: Decoded, dataset: Dataset, rows: np.ndarray, windows: Windows, y: np.ndarray, uv: np.ndarray
) -> None:
    """As `decode_windows`, but rows of `batch` are decoded already; the host decodes the others.

    Raises:
        UndecodableRowError: names the row.
    """
    sizes, names = np.stack([dataset.heights[rows], dataset.widths[rows]], axis=1), rows.tolist()
    found = [batch.images.get(row) for row in names]
    usable = [image is not None and image.shape == (*size, 3) for image, size in zip(found, sizes, strict=True)]
    places = np.flatnonzero(usable)
    for place in np.flatnonzero(~np.array(usable, bool)).tolist():
        one = slice(place, place + 1)
        decode_windows(dataset, rows[one], windows.part(one), y[one], uv[one])
    kept = [np.ascontiguousarray(found[place]) for place in places]
    boxes = np.stack([windows.top, windows.left, windows.height, windows.width], axis=1)[places]
    crop_rgb(
        np.array([image.__array_interface__["data"][0] for image in kept], np.uintp),
        sizes[places],
        np.array([batch.spans[names[place]] for place in places], np.int64).reshape(-1, 2),
        batch.interpolated,
        boxes,
        windows.flip[places],
        windows.smooth & (boxes[:, 2:].min(axis=1, initial=JPEGD_SIDE_MAX) > y.shape[-1]),
        places,
        y,
        uv,
    )


def hardware_spans(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Rows and columns that a chroma sample spans, int64 [B, 2]; 0 where the hardware is not given the file.

    It gets whole baseline JPEGs of a size that it takes, sampled as is usual; their bits are not looked into.
    """
    sizes = np.stack([dataset.heights[rows], dataset.widths[rows]], axis=1)
    results = np.empty((len(rows), RESULT_COLUMNS), np.int64)
    check_files(dataset.addresses(rows), dataset.lengths(rows), sizes, results)
    spans = results[:, [DOWN, ACROSS]]
    fits = (results[:, STATUS] == CUT) & (sizes.min(axis=1) >= JPEGD_SIDE_MIN) & (sizes.max(axis=1) <= JPEGD_SIDE_MAX)
    return spans * (fits & (spans.max(axis=1) <= 2))[:, None]


def thread_problem() -> str | None:
    """Why a pipeline must not be read on this thread, and a mend; None if it may."""
    if isinstance(threading.current_thread(), (threading._MainThread, threading._DummyThread)):
        return None
    return "on a thread of Python's MindSpore would crash at a damaged image: read it on the main one, or by dataset()"


def hardware_problem() -> str | None:
    """Why this process cannot decode by hardware, in a few words; None if a tiny JPEG comes through it."""
    if not DRIVER.exists():
        return "there is no Ascend driver"
    try:
        import mindspore as ms
    except ImportError:
        return "MindSpore is not installed"
    if (problem := thread_problem()) is not None:
        return problem
    if ms.get_context("device_target") != "Ascend":
        return "the device target is not Ascend"
    chip = present_chip()
    if chip is not None and not chip.decodes_jpeg:
        return "MindSpore has no decoder for the first Ascend 910, only for 910B and later"
    return decoding_problem("Ascend")


def decoding_problem(where: Where) -> str | None:
    """Why MindSpore does not decode a tiny JPEG, in a few words; None if it does."""
    try:
        _decoded_edge(where)
    except (RuntimeError, ValueError) as error:
        return reason_of(error)
    return None


def interpolates_chroma(where: Where) -> bool:
    """Whether the decoder mixes neighbouring chroma samples where it enlarges them; False: it repeats each, or fails."""
    try:
        row = _decoded_edge(where)[0].astype(int)
    except (RuntimeError, ValueError):  # what the pipeline will say too
        return False
    return bool(np.abs(row[::2] - row[1::2]).max() > _LEVELS_REPEATED)


def _decoded_edge(where: Where) -> np.ndarray:
    """A tiny JPEG, grey to the left and blue to the right of a chroma sample's edge, decoded, uint8 [64, 64, 3]."""
    from mindspore.dataset import vision

    picture = np.full((64, 64, 3), 128, np.uint8)
    picture[:, 32:, 0] = 255
    _, jpeg = cv2.imencode(".jpg", picture)
    return np.asarray(vision.Decode().device(where)(jpeg.reshape(-1)))


@dataclass(frozen=True)
class DecodingRates:
    """What a short measurement found on this machine, images per second."""

    dvpp: float
    host: float

    def __str__(self) -> str:
        return f"{self.dvpp:,.0f} images/s beside the host's {self.host:,.0f} in a short measurement"


def rates_file() -> Path:
    """Where measurements are kept: in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinydarknet" / "decoding.json"


def measured_rates(dvpp: DvppFeed, host: ThreadedFeed, encoding: str, threads: int) -> DecodingRates:
    """The rates of two feeds of the same batches, measured once for a machine and kept in `rates_file()`.

    Of a host's ranks the first to come measures, the others wait for what it finds: so all decide alike.

    Args:
        dvpp: the one.
        host: the other.
        encoding: of the dataset.
        threads: that each has.

    Raises:
        OSError: the file cannot be written.
    """
    import mindspore as ms

    chip = dvpp.where if dvpp.where == "CPU" else getattr(present_chip(), "name", "an unknown Ascend")
    ranks = dvpp.stream.world_size
    share = f"{threads} threads" if ranks == 1 else f"{ranks} ranks"  # whose threads may differ by one
    key = f"MindSpore {ms.__version__}, {chip}, {encoding}, {share} on {os.cpu_count()} {platform.machine()} processors"
    file = rates_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            kept: dict[str, Any] = parse_object(file.read_bytes())
        except (FileNotFoundError, ValueError):  # not there, or written by somebody else
            kept = {}
        try:
            return from_json(DecodingRates, kept[key])
        except (KeyError, ValueError):
            rates = DecodingRates(_images_per_s(dvpp, threads), _images_per_s(host, threads))
        write_json(file, {**kept, key: {"dvpp": rates.dvpp, "host": rates.host}})
    return rates


def _images_per_s(feed: ThreadedFeed, threads: int) -> float:
    """Of a feed's first batches, some three times as many as are under way at once, after one to warm up."""
    for batches in (1, 3 * threads + 6):
        begin, made = time.perf_counter(), feed.reused()
        count = sum(1 for _ in islice(made, batches))
        made.close()
    return count * feed.stream.batch_size / (time.perf_counter() - begin)


def _fail(error: UserError, _batch: Batch) -> None:
    raise error
