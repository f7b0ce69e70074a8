"""A dataset directory -> batches, in the right order, before the network asks for them.

    feed = open_train_feed("data/imagenet/train", batch_size=128, epochs=90, seed=1)
    for batch in feed:
        batch["y"], batch["uv"], batch["colour"], batch["label"], batch["id"]

loader.py       the public functions: check, pick and build the feed for a dataset
order.py        which row where: pure; a run's steps as rows, for one rank
augment.py      crops, flips, colour factors: pure; hashing.py: chance as a function
batch_plan.py   what each batch will hold
crops.py        an encoding's payloads -> uint8 planes of a batch, by way of
kernels.py      compiled loops over pixels: the hot loop
batch_fill.py   a plan -> a batch: planes or RGB, colour matrices, labels
dvpp.py         images decoded in MindSpore's pipeline, by Ascend's hardware
reference.py    float32 RGB, as the reference did it
damage.py       damaged rows: named, or replaced and counted
prefetch.py     batches made ahead, in reused buffers
mindspore.py, torch.py, jax.py   batches in that framework; nothing else here imports them
"""

from tinydarknet.colour import Normalization
from tinydarknet.feed.augment import Augmentation
from tinydarknet.feed.damage import DamagedImageError, HealthPolicy
from tinydarknet.feed.loader import Feed, open_eval_feed, open_train_feed
from tinydarknet.feed.order import Rank

__all__ = [
    "Augmentation",
    "DamagedImageError",
    "Feed",
    "HealthPolicy",
    "Normalization",
    "Rank",
    "open_eval_feed",
    "open_train_feed",
]
