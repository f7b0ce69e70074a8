"""The reference feed: MindSpore's operators in our order."""

import numpy as np

from convert.dataset import Dataset
from tinydarknet.colour import IMAGENET, rgb_from_planes
from tinydarknet.feed.loader import open_eval_feed, open_train_feed
from tinydarknet.feed.order import Rank, epoch_order


def test_training_batches_have_the_contracts_shape_and_our_order(original_dataset):
    feed = open_train_feed(
        original_dataset,
        batch_size=8,
        image_size=64,
        seed=3,
        rank=Rank(1, of=2),
        first_step=1,
        last_step=4,
        feed="reference",
        threads=2,
    )
    assert feed.columns == ("image", "label", "id")
    order, labels = epoch_order(70, 3, 0), Dataset(original_dataset).labels
    batches = list(feed)
    assert len(batches) == feed.steps == 3
    for step, batch in enumerate(batches, start=1):
        assert batch["image"].shape == (8, 3, 64, 64)
        assert batch["image"].dtype == np.float32
        ids = order[step * 16 + 1 : step * 16 + 16 : 2]
        assert batch["id"].tolist() == ids.tolist()
        assert batch["label"].tolist() == labels[ids].tolist()


def test_evaluation_counts_every_image_once_and_agrees_with_the_planes(original_dataset, planes_dataset):
    """What the network sees through either feed differs by little more than the stored chroma's resolution."""
    planes = list(open_eval_feed(planes_dataset, batch_size=32))
    reference = list(open_eval_feed(original_dataset, batch_size=32, feed="reference"))
    ids = np.concatenate([batch["id"] for batch in reference])
    assert sorted(ids[ids >= 0]) == list(range(70))
    assert np.concatenate([batch["label"] for batch in reference]).tolist().count(-1) == 96 - 70

    batch, expected = planes[0], reference[0]["image"]
    actual = rgb_from_planes(batch["y"], batch["uv"], batch["colour"])
    grey_levels = np.abs(actual - expected) * np.array(IMAGENET.std).reshape(1, 3, 1, 1)
    assert np.median(grey_levels.mean(axis=(1, 2, 3))) < 6
