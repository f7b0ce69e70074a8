"""One rank's training feed over a dataset, opened as training opens it, as often as a measurement needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinydarknet.feed.loader import FeedName

if TYPE_CHECKING:
    from tinydarknet.feed.loader import Feed


@dataclass(frozen=True)
class TrainingFeed:
    """What a feed is opened with."""

    directory: Path
    """The dataset."""
    encoding: str
    """Of its images."""
    feed: FeedName
    batch_size: int
    """Images per rank and step."""
    image_size: int
    """Pixels."""
    threads: int
    """That make batches."""
    rank: int = 0
    world_size: int = 1

    def open(self, steps: int, threads: int | None = None) -> Feed:
        """The feed of the run's first `steps` steps."""
        from tinydarknet.colour import IMAGENET
        from tinydarknet.feed.augment import Augmentation
        from tinydarknet.feed.loader import open_train_feed

        return open_train_feed(
            self.directory,
            batch_size=self.batch_size,
            image_size=self.image_size,
            seed=0,
            rank=self.rank,
            world_size=self.world_size,
            first_step=0,
            last_step=steps,
            augmentation=Augmentation(),
            normalization=IMAGENET,
            feed=self.feed,
            threads=threads or self.threads,
        )
