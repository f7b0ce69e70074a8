"""Where each stage of a step really happens, so that it can be timed there, or slowed to see that the verdict notices.

    read        the feed's own reading ahead, and the first touch of the payloads' pages
    crop        its pixels, of yuv420 planes;  decode: of jpeg and original
    batch       its plans, colours, labels and ids
    transfer    ThreadedFeed.dataset: host arrays into MindSpore's pipeline and out as tensors
    compute     TrainStep.__call__
    all-reduce  nn.DistributedGradReducer, inside the compiled graph

The first three are timed and slowed by the feed's `timer`. The others are replaced in a context, and put back when it
ends: feeds and steps must be made inside it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from convert.dataset import Dataset
    from tinydarknet.feed.batch_fill import Stage as FeedStage
    from tinydarknet.feed.batch_fill import StageTimer

Stage = Literal["read", "crop", "decode", "batch", "transfer", "compute", "all-reduce"]
STAGES: tuple[Stage, ...] = get_args(Stage)

PAGE_BYTES = 4096
StageTimes = dict[str, list[float]]
"""Milliseconds of every batch, by stage, in the order in which a batch goes through them."""

Function = Callable[..., Any]


class FeedProbe:
    """Times the stages of a planes or host feed inside its own threads, one record per batch."""

    def __init__(self, dataset: Dataset, crop_name: Literal["crop", "decode"], inner: StageTimer | None) -> None:
        """Look at feeds over `dataset`; `inner` is entered within every stage, see `delaying`."""
        self._dataset = dataset
        self._crop_name = crop_name
        self._inner = inner
        self._this_batch = threading.local()
        self._batches: list[dict[str, float]] = []

    def times(self, skip: int) -> StageTimes:
        """What was timed, without the first `skip` batches."""
        return {
            name: [batch.get(name, 0.0) for batch in self._batches[skip:]]
            for name in ("read", self._crop_name, "batch")
        }

    @contextlib.contextmanager
    def timer(self, stage: FeedStage, rows: np.ndarray) -> Iterator[None]:
        """Time one stage of one batch; a feed's `timer`."""
        if stage == "crop":  # the map's pages come in here, which is reading
            with self._added("read"):
                _touch(self._dataset, rows)
        inner = self._inner or (lambda *_: contextlib.nullcontext())
        with self._added({"read": "read", "crop": self._crop_name}.get(stage, "batch")), inner(stage, rows):
            yield
        if stage == "finish":
            self._batches.append(self._this_batch.__dict__.copy())
            self._this_batch.__dict__.clear()

    @contextlib.contextmanager
    def _added(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        spent_ms = 1e3 * (time.perf_counter() - start)
        self._this_batch.__dict__[name] = self._this_batch.__dict__.get(name, 0.0) + spent_ms


def delaying(stage: Stage | None, delay_ms: float) -> StageTimer | None:
    """A feed's `timer` that adds `delay_ms` to one of its stages in every batch; None if the stage is not the feed's."""
    slow = {"read": "read", "crop": "crop", "decode": "crop", "batch": "finish"}.get(stage or "")
    if slow is None:
        return None

    def timer(stage: FeedStage, _rows: np.ndarray) -> AbstractContextManager[None]:
        if stage == slow:
            time.sleep(delay_ms / 1e3)
        return contextlib.nullcontext()

    return timer


@contextlib.contextmanager
def slowed(stage: Stage | None, delay_ms: float) -> Iterator[None]:
    """Add `delay_ms` to a stage of every batch that is not the feed's own, where it happens; do nothing for others."""
    with contextlib.ExitStack() as stack:
        if stage in ("transfer", "compute", "all-reduce"):
            stack.enter_context(_replaced(*_slow_function(stage, delay_ms)))
        yield


def _slow_function(stage: Stage, delay_ms: float) -> tuple[Any, str, Callable[[Function], Function]]:
    if stage == "transfer":
        from tinydarknet.feed.prefetch import ThreadedFeed

        return ThreadedFeed, "dataset", lambda original: lambda feed: _slow_rows(original(feed), feed, delay_ms)
    if stage == "compute":
        from tinydarknet.train.step import TrainStep

        def after_sleeping(original: Function) -> Function:
            def slow(*arguments: Any) -> Any:
                time.sleep(delay_ms / 1e3)
                return original(*arguments)

            return slow

        return TrainStep, "__call__", after_sleeping
    from mindspore import nn

    return nn, "DistributedGradReducer", lambda original: _slow_reducer(original, delay_ms)


def _slow_rows(dataset: Any, feed: Any, delay_ms: float) -> Any:
    def slow(column: np.ndarray) -> np.ndarray:
        time.sleep(delay_ms / 1e3)
        return column

    return dataset.map(slow, input_columns=feed.columns[-1], num_parallel_workers=1)


def _slow_reducer(original: Function, delay_ms: float) -> Function:
    """A reducer that waits inside the graph before it reduces, as a slow network would make it wait."""
    from mindspore import nn, ops

    def wait(array: np.ndarray) -> np.ndarray:
        time.sleep(delay_ms / 1e3)
        return array

    class SlowReducer(nn.Cell):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(auto_prefix=False)
            self.reduce = original(*arguments, **options)
            self.wait = ops.Custom(wait, out_shape=lambda shape: shape, out_dtype=lambda kind: kind, func_type="pyfunc")

        def construct(self, gradients: Any) -> Any:
            reduced = self.reduce(gradients)
            return (self.wait(reduced[0]), *reduced[1:])

    return SlowReducer


@contextlib.contextmanager
def _replaced(owner: Any, name: str, make: Callable[[Function], Function]) -> Iterator[None]:
    """Put `make(original)` in place of an attribute of a class or module."""
    own = name in vars(owner)
    original = getattr(owner, name)
    setattr(owner, name, make(original))
    try:
        yield
    finally:
        if own:
            setattr(owner, name, original)
        else:
            delattr(owner, name)


def _touch(dataset: Dataset, rows: np.ndarray) -> None:
    """Bring every page of the rows' payloads in, as the first use of the memory map does."""
    for row in rows.tolist():
        dataset.payload(row)[::PAGE_BYTES].max()
