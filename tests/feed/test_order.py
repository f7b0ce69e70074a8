"""The id stream: every image once, no matter how it is cut."""

import numpy as np
import pytest

from tinydarknet.feed.order import (
    PADDING,
    EvaluationStream,
    TrainingStream,
    epoch_order,
    evaluation_batch,
    evaluation_steps,
    rank_batch,
    steps_per_epoch,
)


def test_an_epoch_is_a_permutation_that_changes_with_seed_and_epoch():
    orders = [epoch_order(1000, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    for order in orders:
        assert sorted(order) == list(range(1000))
    assert len({order.tobytes() for order in orders}) == 4


def test_the_order_is_pinned():
    """A run resumed years later, with another numpy, sees the same images."""
    assert epoch_order(12, seed=7, epoch=3).tolist() == [8, 5, 4, 9, 6, 1, 2, 10, 11, 3, 7, 0]


def test_imagenet_on_eight_cards_leaves_143_images_over():
    assert steps_per_epoch(1_281_167, 128, 8) == 1251
    assert 1_281_167 - 1251 * 128 * 8 == 143


def test_what_an_epoch_leaves_out_moves_on():
    rows, global_batch = 1000, 96
    left_over = [set(epoch_order(rows, 5, epoch)[rows // global_batch * global_batch :]) for epoch in range(8)]
    assert all(len(ids) == rows % global_batch for ids in left_over)
    assert len(set.union(*left_over)) == 8 * (rows % global_batch)


@pytest.mark.parametrize("world_size", [1, 2, 4, 8])
def test_a_global_step_holds_the_same_images_on_any_number_of_ranks(world_size):
    order = epoch_order(1000, seed=3, epoch=2)
    batch_size = 64 // world_size
    for step in range(steps_per_epoch(1000, batch_size, world_size)):
        ranks = [rank_batch(order, step, batch_size, rank, world_size) for rank in range(world_size)]
        assert {len(ids) for ids in ranks} == {batch_size}
        assert set(np.concatenate(ranks)) == set(order[step * 64 : (step + 1) * 64])


@pytest.mark.parametrize("rows", [1, 7, 127, 128, 129, 50_000])
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize("batch_size", [1, 100, 128])
def test_evaluation_sees_every_image_once(rows, world_size, batch_size):
    batches = [
        evaluation_batch(rows, step, batch_size, rank, world_size)
        for step in range(evaluation_steps(rows, batch_size, world_size))
        for rank in range(world_size)
    ]
    assert {len(batch) for batch in batches} == {batch_size}
    ids = np.concatenate(batches)
    assert sorted(ids[ids != PADDING]) == list(range(rows))


def test_a_stream_can_start_anywhere():
    whole = TrainingStream(rows=100, batch_size=8, seed=1, rank=1, world_size=2, first_step=0, last_step=18)
    part = TrainingStream(rows=100, batch_size=8, seed=1, rank=1, world_size=2, first_step=7, last_step=18)
    assert part.steps == 11
    for step in range(part.steps):
        epoch, ids = part.batch_rows(step)
        assert epoch == (7 + step) // 6
        assert ids.tolist() == whole.batch_rows(7 + step)[1].tolist()


def test_a_stream_says_what_it_cannot_serve():
    with pytest.raises(ValueError, match=r"16 images, the dataset has 15"):
        TrainingStream(rows=15, batch_size=8, seed=1, rank=0, world_size=2, first_step=0, last_step=1)
    with pytest.raises(ValueError, match="got rank 2 and world_size 2"):
        EvaluationStream(rows=15, batch_size=8, rank=2, world_size=2)
