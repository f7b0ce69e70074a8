"""Batches ahead of their consumer: worker threads fill a ring of reused buffers, in order."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import numpy as np

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
        """Return one batch of uninitialised arrays."""
        ...

    def fill(self, step: int, batch: Batch) -> None:
        """Write batch number `step`, in [0, steps), into `batch`."""
        ...


class ThreadedFeed:
    """Runs a `BatchSource` on threads and hands out its batches in order, each prepared ahead of time.

    The ring holds `threads + read_ahead + 1` batches. A batch's arrays stay valid until the next one is asked for,
    then they are written over: copy what must live longer.
    """

    def __init__(self, source: BatchSource, threads: int, read_ahead: int = 2) -> None:
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self.columns = source.columns
        self.steps = source.steps
        self._source = source
        self._threads = threads
        self._read_ahead = read_ahead

    def __len__(self) -> int:
        """The number of batches; MindSpore asks."""
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        """Yield every batch once, in order; an error in a worker is raised here."""
        depth = self._threads + self._read_ahead
        free = deque(self._source.allocate() for _ in range(depth + 1))
        pending: deque[tuple[Future[None], Batch]] = deque()
        steps = iter(range(self.steps))
        executor = ThreadPoolExecutor(self._threads, thread_name_prefix="feed")
        lent: Batch | None = None
        try:
            while True:
                if lent is not None:
                    free.append(lent)
                for step in itertools.islice(steps, depth - len(pending)):
                    batch = free.popleft()
                    pending.append((executor.submit(self._source.fill, step, batch), batch))
                if not pending:
                    return
                done, lent = pending.popleft()
                done.result()
                yield lent
        finally:
            executor.shutdown(wait=True, cancel_futures=True)

    def dataset(self) -> Dataset:
        """The same batches as a MindSpore dataset, which copies each when it takes it."""
        import mindspore.dataset as ds

        return ds.GeneratorDataset(_Rows(self), list(self.columns), shuffle=False, num_parallel_workers=1)


class _Rows:
    """What GeneratorDataset wants: an iterable of tuples with a length."""

    def __init__(self, feed: ThreadedFeed) -> None:
        self._feed = feed

    def __len__(self) -> int:
        return self._feed.steps

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        for batch in self._feed:
            yield tuple(batch[name] for name in self._feed.columns)
