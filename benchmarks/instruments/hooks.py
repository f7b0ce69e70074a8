"""Where each stage of a step really happens, so that it can be timed there, or slowed to see that the verdict notices.

    read        Dataset.will_need, and the first touch of the payloads' pages
    crop        the feed's cropper of yuv420 planes;  decode: of jpeg and original
    batch       Drawing.draw and PlanesSource.finish: what a batch holds, its colours, labels and ids
    transfer    ThreadedFeed.dataset: host arrays into MindSpore's pipeline and out as tensors
    compute     TrainStep.__call__
    all-reduce  nn.DistributedGradReducer, inside the compiled graph

Everything is put back when a context ends. Feeds and steps must be made inside it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from convert.dataset import Dataset

Stage = Literal["read", "crop", "decode", "batch", "transfer", "compute", "all-reduce"]
STAGES: tuple[Stage, ...] = get_args(Stage)

PAGE_BYTES = 4096
StageTimes = dict[str, list[float]]
"""Milliseconds of every batch, by stage, in the order in which a batch goes through them."""

Function = Callable[..., Any]
_LAST = "finish"
"""The last function that a batch goes through on a feed's thread."""


class FeedProbe:
    """Times the stages of a planes or host feed inside its own threads, one record per batch."""

    def __init__(self, crop_name: Literal["crop", "decode"]) -> None:
        self._crop_name = crop_name
        self._this_batch = threading.local()
        self._records: list[dict[str, float]] = []

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        """Time every feed that is made in this context."""
        with contextlib.ExitStack() as stack:
            for stage, owner, name in _feed_functions(self._crop_name):
                ends_batch = name == _LAST
                stack.enter_context(
                    _replaced(owner, name, lambda original, s=stage, e=ends_batch: self._timed(s, original, e))
                )
            yield

    def times(self, skip: int) -> StageTimes:
        """What was timed, without the first `skip` batches."""
        order = ("read", self._crop_name, "batch")
        return {name: [record.get(name, 0.0) for record in self._records[skip:]] for name in order}

    def _timed(self, stage: str, original: Function, ends_batch: bool) -> Function:
        def timed(*arguments: Any) -> Any:
            if stage == self._crop_name:  # the map's pages come in here, which is reading
                self._add("read", lambda: _touch(arguments[0], arguments[1]))
            result = self._add(stage, lambda: original(*arguments))
            if ends_batch:
                self._records.append(self._this_batch.__dict__.copy())
                self._this_batch.__dict__.clear()
            return result

        return timed

    def _add(self, stage: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        spent_ms = 1e3 * (time.perf_counter() - start)
        self._this_batch.__dict__[stage] = self._this_batch.__dict__.get(stage, 0.0) + spent_ms
        return result


@contextlib.contextmanager
def slowed(stage: Stage | None, delay_ms: float) -> Iterator[None]:
    """Add `delay_ms` to one stage of every batch, where it happens; do nothing for None."""
    if stage is None:
        yield
        return
    with contextlib.ExitStack() as stack:
        for owner, name, slow in _slow_functions(stage, delay_ms):
            stack.enter_context(_replaced(owner, name, slow))
        yield


def _feed_functions(crop_name: str) -> list[tuple[str, Any, str]]:
    """Stage, owner and name of every function that a batch goes through on a feed's thread."""
    from convert.dataset import Dataset
    from tinydarknet.feed.batch_plan import Drawing
    from tinydarknet.feed.planes import CROPPERS, PlanesSource

    encodings = ("yuv420",) if crop_name == "crop" else ("jpeg", "original")
    return [
        ("read", Dataset, "will_need"),
        *((crop_name, CROPPERS, encoding) for encoding in encodings),
        ("batch", Drawing, "draw"),
        ("batch", PlanesSource, _LAST),
    ]


def _slow_functions(stage: Stage, delay_ms: float) -> list[tuple[Any, str, Callable[[Function], Function]]]:
    def after_sleeping(original: Function) -> Function:
        def slow(*arguments: Any) -> Any:
            time.sleep(delay_ms / 1e3)
            return original(*arguments)

        return slow

    if stage == "transfer":
        from tinydarknet.feed.prefetch import ThreadedFeed

        return [(ThreadedFeed, "dataset", lambda original: lambda feed: _slow_rows(original(feed), feed, delay_ms))]
    if stage == "compute":
        from tinydarknet.train.step import TrainStep

        return [(TrainStep, "__call__", after_sleeping)]
    if stage == "all-reduce":
        from mindspore import nn

        return [(nn, "DistributedGradReducer", lambda original: _slow_reducer(original, delay_ms))]
    functions = _feed_functions(stage if stage in ("crop", "decode") else "crop")
    chosen = [(owner, name, after_sleeping) for found, owner, name in functions if found == stage]
    return chosen[-1:] if stage == "batch" else chosen


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
    """Put `make(original)` in place of an attribute of a class or module, or of an item of a dict."""
    if isinstance(owner, dict):
        original = owner[name]
        owner[name] = make(original)
        try:
            yield
        finally:
            owner[name] = original
        return
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


def _touch(records: Dataset, rows: np.ndarray) -> None:
    """Bring every page of the rows' payloads in, as the first use of the memory map does."""
    for row in rows.tolist():
        records.payload(row)[::PAGE_BYTES].max()
