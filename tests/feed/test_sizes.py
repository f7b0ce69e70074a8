"""Progressive resizing, and how many threads a rank takes."""

import pytest

from tinydarknet.colour import IMAGENET
from tinydarknet.feed import budget
from tinydarknet.feed.augment import Augmentation
from tinydarknet.feed.opening import open_train_feed
from tinydarknet.feed.sizes import ImageSizes


def test_sizes_change_at_their_epochs():
    sizes = ImageSizes((128, 160, 224), (0, 10, 30))
    assert [sizes.at(epoch) for epoch in (0, 9, 10, 29, 30, 500)] == [128, 128, 160, 160, 224, 224]


@pytest.mark.parametrize(
    ("sides", "epochs", "message"),
    [
        ((), (), "at least 2"),
        ((127,), (0,), "even"),
        ((128, 160), (0,), "needs the epoch"),
        ((128,), (1,), "begin with 0"),
        ((128, 160), (0, 0), "rise"),
    ],
)
def test_bad_sizes_are_refused(sides, epochs, message):
    with pytest.raises(ValueError, match=message):
        ImageSizes(sides, epochs)


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_change_their_size_with_the_epoch(planes_dataset, threads):
    feed = open_train_feed(
        planes_dataset,
        batch_size=16,
        image_size=ImageSizes((32, 64, 32), (0, 1, 2)),
        seed=0,
        rank=0,
        world_size=1,
        first_step=2,
        last_step=12,
        augmentation=Augmentation(),
        normalization=IMAGENET,
        threads=threads,
    )
    assert [batch["y"].shape[-1] for batch in feed] == [32] * 2 + [64] * 4 + [32] * 4


@pytest.mark.parametrize(
    ("processors", "ranks", "threads"), [(192, 8, 24), (2, 8, 1), (2, 1, 2), (1.5, 1, 1), (56, 8, 7)]
)
def test_ranks_share_the_processors(processors, ranks, threads):
    assert budget.feed_threads(processors, ranks) == threads


def test_a_cgroup_limits_the_processors(tmp_path, monkeypatch):
    limits = tmp_path / "cpu.max"
    monkeypatch.setattr(budget, "_CGROUP_V2", limits)
    limits.write_text("50000 100000\n")
    assert budget.usable_processors() == 0.5
    limits.write_text("max 100000\n")
    assert budget.usable_processors() >= 1
