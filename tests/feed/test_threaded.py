"""Batches from threads: in order, reused, and with errors that arrive."""

import threading

import numpy as np
import pytest

from tinydarknet.feed.order import TrainingStream
from tinydarknet.feed.prefetch import ThreadedFeed


class Numbered:
    """Batch `step` holds its own number; batch `fails_at` raises."""

    image_columns = ("value",)

    def __init__(self, steps: int, fails_at: int | None = None) -> None:
        self.stream = TrainingStream(3, 3, seed=0, rank=0, world_size=1, first_step=0, last_step=steps)
        self.allocated = self.filled = 0
        self._fails_at = fails_at

    def allocate(self):
        self.allocated += 1
        return {name: np.zeros(3, np.int64) for name in ("value", "label", "id")}

    def fill(self, step, batch):
        self.filled += 1
        if step == self._fails_at:
            raise RuntimeError(f"step {step} is broken")
        batch["value"][:] = step


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("steps", [0, 1, 3, 50])
def test_batches_come_in_order(threads, steps):
    feed = ThreadedFeed(Numbered(steps), threads)
    assert [int(batch["value"][0]) for batch in feed.reused()] == list(range(steps))
    assert [int(batch["value"][0]) for batch in list(feed)] == list(range(steps))
    assert [int(batch["value"][0]) for batch in feed.reused(skip=2)] == list(range(2, steps))


def test_buffers_are_reused_and_stay_valid_until_the_next_batch():
    source = Numbered(100)
    for step, batch in enumerate(ThreadedFeed(source, threads=2).reused()):
        assert (batch["value"] == step).all()
    assert source.allocated == 2 + 2  # threads and read-ahead


def test_an_error_arrives_at_its_step():
    batches = iter(ThreadedFeed(Numbered(10, fails_at=5), threads=3))
    assert [int(next(batches)["value"][0]) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(RuntimeError, match="step 5 is broken"):
        next(batches)


def feed_threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("feed")}


def test_leaving_early_leaves_no_threads():
    others = feed_threads()
    for _ in ThreadedFeed(Numbered(1000), threads=4):
        assert feed_threads() > others
        break
    assert feed_threads() <= others


def test_mindspore_reads_the_same_batches():
    rows = list(ThreadedFeed(Numbered(7), threads=2).dataset().create_tuple_iterator(num_epochs=1, output_numpy=True))
    assert [int(row[0][0]) for row in rows] == list(range(7))


def test_mindspore_learns_types_and_shapes_without_a_batch():
    """A sink asks for them at each start, and a first batch would bring all those made ahead with it."""
    source = Numbered(7)
    dataset = ThreadedFeed(source, threads=2).dataset()
    assert dataset.output_shapes() == [[3]] * 3
    assert dataset.output_types() == [np.int64] * 3
    assert source.filled == 0
