"""One rank's training feed over a dataset, opened as training opens it, as often as a measurement needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinydarknet.feed.loader import FeedName

if TYPE_CHECKING:
    from convert.dataset import Dataset
    from tinydarknet.feed.batch_fill import StageTimer
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
    timer: StageTimer | None = None
    """See `benchmarks.instruments.hooks.delaying`."""

    def open(self, steps: int, threads: int | None = None, dataset: Dataset | None = None) -> Feed:
        """The feed of the run's first `steps` steps; of `dataset`, if it is open already."""
        from tinydarknet.feed import Rank, open_train_feed

        return open_train_feed(
            dataset or self.directory,
            batch_size=self.batch_size,
            image_size=self.image_size,
            rank=Rank(self.rank, self.world_size),
            last_step=steps,
            feed=self.feed,
            threads=threads or self.threads,
            timer=self.timer,
        )
