"""A run's training set, open once for the whole run, and the feeds that are cut from it."""

from __future__ import annotations

import numpy as np

from tinydarknet.device import sum_over_ranks
from tinydarknet.feed.drawing import Drawing
from tinydarknet.feed.health import HealthPolicy, RowHealth
from tinydarknet.feed.opening import Feed, feed_for
from tinydarknet.feed.records import Records
from tinydarknet.feed.stream import TrainingStream
from tinydarknet.training.assembly import Run
from tinydarknet.training.image_sizes import Segment


class TrainingData:
    """The images of a run; knows over all its segments which of them were damaged."""

    def __init__(self, run: Run) -> None:
        """Open the dataset.

        Raises:
            UserError: it is damaged.
        """
        self._run = run
        self._records = Records(run.config.data_path)
        self._health = RowHealth(self._records, HealthPolicy(run.config.tolerate, run.config.check_reads))

    @property
    def damaged(self) -> list[str]:
        """A sentence for every image that this rank has replaced by another so far."""
        return list(self._health.damaged.values())

    def replaced_images(self) -> int:
        """How many images any rank has replaced so far; all ranks must call this."""
        found = list(self._health.damaged)
        if not sum_over_ranks(self._run.device, np.array([len(found)]))[0]:
            return 0
        marks = np.zeros(len(self._records), np.int64)
        marks[found] = 1
        return int((sum_over_ranks(self._run.device, marks) > 0).sum())

    def feed(self, segment: Segment) -> Feed:
        """This rank's batches for the steps of a segment.

        Raises:
            UserError: the wanted feed cannot read the dataset.
        """
        config, device = self._run.config, self._run.device
        stream = TrainingStream(
            len(self._records),
            self._run.batch_size,
            config.seed,
            device.rank,
            device.world_size,
            segment.first_step,
            segment.last_step,
        )
        drawing = Drawing(self._records, stream, segment.image_size, config.augmentation, self._health)
        return feed_for(drawing, config.normalization, config.feed, device.feed_threads)
