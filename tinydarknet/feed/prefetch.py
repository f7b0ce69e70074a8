"""Batches ahead of their consumer: worker threads fill a ring of reused buffers, in order."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import numpy as np

from convert.errors import UserError

if TYPE_CHECKING:
    from mindspore.dataset import Dataset

Batch = dict[str, np.ndarray]


class BatchSource(Protocol):
    """Makes batches by number; `fill` is called from several threads at once, each with its own batch."""

    columns: tuple[str, ...]
    """Names of a batch's arrays, in the order in which MindSpore sees them."""
    steps: int
    """How many batches there are."""

    def allocate(self) -> Batch:
        """Return uninitialised arrays for one batch."""
        ...

    def fill(self, step: int, batch: Batch) -> None:
        """Write batch number `step`, in [0, steps), into `batch`."""
        ...


class ThreadedFeed:
    """Runs a `BatchSource` on threads and hands out its batches in order, each prepared ahead of time.

    `threads + read_ahead` batches are made ahead. A batch's arrays stay valid until the next one is asked for, then
    they are written over: copy what must live longer.
    """

    def __init__(self, source: BatchSource, threads: int, choice: str = "", read_ahead: int = 2) -> None:
        """Prepare to run `source`; `choice` says which feed this is, and why."""
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self.columns = source.columns
        self.steps = source.steps
        self.choice = choice
        self._failure: UserError | None = None
        self._source = source
        self._threads = threads
        self._read_ahead = read_ahead

    def __len__(self) -> int:
        """The number of batches; MindSpore asks."""
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        """Yield every batch once, in order; an error in a worker is raised here."""
        return self.batches()

    def batches(self) -> Generator[Batch, None, None]:
        """The same as a generator, whose close() stops the threads."""
        return self._batches(reuse=True)

    def dataset(self) -> Dataset:
        """The same batches as a MindSpore dataset.

        MindSpore keeps the arrays it is given rather than copying them, so each batch gets arrays of its own.
        """
        import mindspore.dataset as ds

        rows = _Rows(self.steps, self.columns, self._noting_failure)
        return ds.GeneratorDataset(rows, list(self.columns), shuffle=False, num_parallel_workers=1)

    def told(self, error: RuntimeError) -> UserError | None:  # noqa: ARG002, MindSpore's says less
        """What ended `dataset()`'s batches, if it was something to tell the user."""
        return self._failure

    def _noting_failure(self) -> Iterator[Batch]:
        """Fresh batches; MindSpore turns what they raise into a RuntimeError of its own, so it is kept for `told`."""
        try:
            yield from self._batches(reuse=False)
        except UserError as error:
            self._failure = error
            raise

    def _batches(self, *, reuse: bool) -> Generator[Batch, None, None]:
        ring: deque[Batch] = deque()
        pending: deque[tuple[Future[None], Batch]] = deque()
        steps = iter(range(self.steps))
        executor = ThreadPoolExecutor(self._threads, thread_name_prefix="feed")
        try:
            while True:
                for step in itertools.islice(steps, self._threads + self._read_ahead - len(pending)):
                    batch = ring.popleft() if ring else self._source.allocate()
                    pending.append((executor.submit(self._source.fill, step, batch), batch))
                if not pending:
                    return
                done, batch = pending.popleft()
                done.result()
                yield batch
                if reuse:
                    ring.append(batch)
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


class _Rows:
    """What GeneratorDataset wants: an iterable of tuples with a length."""

    def __init__(self, steps: int, columns: tuple[str, ...], batches: Callable[[], Iterator[Batch]]) -> None:
        self._steps = steps
        self._columns = columns
        self._batches = batches

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        for batch in self._batches():
            yield tuple(batch[name] for name in self._columns)
