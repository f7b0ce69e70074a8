"""Batches ahead of their consumer: worker threads fill a ring of reused buffers, or fresh ones, in order."""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import numpy as np

from convert.errors import BadValueError, UserError
from tinydarknet.feed.order import Stream

if TYPE_CHECKING:
    from mindspore.dataset import Dataset as MindSporeDataset

Batch = dict[str, np.ndarray]


class BatchSource(Protocol):
    """Makes batches by number; `fill` is called from several threads at once, each with its own batch."""

    image_columns: tuple[str, ...]
    """Names of the arrays that a network's first cell takes, in its order."""
    stream: Stream
    """Which rows come when, and how many batches there are."""

    def allocate(self) -> Batch:
        """Return uninitialised arrays for one batch: `image_columns`, label and id."""
        ...

    def fill(self, step: int, batch: Batch) -> None:
        """Write batch number `step`, in [0, steps), into `batch`."""
        ...


class ThreadedFeed:
    """Runs a `BatchSource` on threads and hands out its batches in order, each prepared ahead of time; satisfies `Feed`.

    `threads + read_ahead` batches are made ahead.
    """

    def __init__(self, source: BatchSource, threads: int, choice: str = "", read_ahead: int = 2) -> None:
        """Prepare to run `source`; `choice` says which feed this is, and why."""
        if threads < 1:
            raise BadValueError("threads", "must be at least 1", threads)
        self.image_columns = source.image_columns
        self.columns = (*source.image_columns, "label", "id")
        self.stream = source.stream
        self.steps = source.stream.steps
        self.steps_per_epoch = source.stream.steps_per_epoch
        self.choice = choice
        self._failure: UserError | None = None
        self._source = source
        self._threads = threads
        self._read_ahead = read_ahead

    def __len__(self) -> int:
        """The number of batches; MindSpore asks."""
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        """Yield every batch once, in order, in arrays that stay valid; an error in a thread is raised here."""
        return self.batches()

    def reused(self, skip: int = 0) -> Generator[Batch, None, None]:
        """The same batches from number `skip` on, each valid until the next is asked for: its arrays are written over.

        A generator, whose close() stops the threads.
        """
        return self.batches(skip, reuse=True)

    def dataset(self) -> MindSporeDataset:
        """The same batches as a MindSpore dataset.

        MindSpore keeps the arrays it is given rather than copying them, so each batch gets arrays of its own.
        """
        from tinydarknet.feed.mindspore import dataset_of

        return dataset_of(self.columns, self.steps, self._remember_failure, self._source.allocate())

    def explain_error(self, error: RuntimeError) -> UserError | None:  # noqa: ARG002, MindSpore's says less
        """What ended `dataset()`'s batches, if it was something to tell the user."""
        return self._failure

    def _remember_failure(self) -> Iterator[Batch]:
        """Batches for MindSpore, which turns what they raise into a RuntimeError of its own: `explain_error` has it."""
        try:
            yield from self
        except UserError as error:
            self._failure = error
            raise

    def batches(self, skip: int = 0, *, reuse: bool = False) -> Generator[Batch, None, None]:
        """The batches from number `skip` on, in arrays that stay valid, or, with `reuse`, in a ring of few."""
        ring: deque[Batch] = deque()
        pending: deque[tuple[Future[None], Batch]] = deque()
        fills = self._fills(skip)
        executor = ThreadPoolExecutor(self._threads, thread_name_prefix="feed")
        try:
            while True:
                for fill in itertools.islice(fills, self._threads + self._read_ahead - len(pending)):
                    batch = ring.popleft() if ring else self._source.allocate()
                    pending.append((executor.submit(fill, batch), batch))
                if not pending:
                    return
                done, batch = pending.popleft()
                done.result()
                yield batch
                if reuse:
                    ring.append(batch)
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
            fills.close()

    def _fills(self, first: int) -> Generator[Callable[[Batch], None], None, None]:
        """What fills each batch from number `first` on; asked for in order, on the thread that asks for the batches."""
        for step in range(first, self.steps):
            yield functools.partial(self._source.fill, step)
