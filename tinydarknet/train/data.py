"""A run's datasets, each open once for the whole run: the feeds that training takes, and the scores in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convert.dataset import Dataset
from convert.dataset.manifest import load_manifest
from tinydarknet.device import sum_over_ranks
from tinydarknet.evaluate.passes import classifier_for, evaluate
from tinydarknet.evaluate.scores import Score
from tinydarknet.feed.damage import HealthPolicy, RowHealth
from tinydarknet.feed.loader import Feed, open_eval_feed, open_train_feed
from tinydarknet.feed.order import Rank
from tinydarknet.train.assembly import Run
from tinydarknet.train.schedule import Segment

EVAL_BATCH_MAX = 64


class TrainingData:
    """The images of a run; knows over all its segments which of them were damaged."""

    def __init__(self, run: Run) -> None:
        """Open the dataset.

        Raises:
            UserError: it is damaged.
        """
        self._run = run
        self._dataset = Dataset(run.config.data_path)
        self._health = RowHealth(self._dataset, HealthPolicy(run.config.tolerate, run.config.check_reads))

    @property
    def damaged(self) -> list[str]:
        """A sentence for every image that this rank has replaced by another so far."""
        return list(self._health.damaged.values())

    def replaced_images(self) -> int:
        """How many images any rank has replaced so far; all ranks must call this."""
        found = list(self._health.damaged)
        if not sum_over_ranks(self._run.device, np.array([len(found)]))[0]:
            return 0
        marks = np.zeros(len(self._dataset), np.int64)
        marks[found] = 1
        return int((sum_over_ranks(self._run.device, marks) > 0).sum())

    def feed(self, segment: Segment) -> Feed:
        """This rank's batches for the steps of a segment.

        Raises:
            UserError: the wanted feed cannot read the dataset.
        """
        config, device = self._run.config, self._run.device
        return open_train_feed(
            self._dataset,
            batch_size=self._run.batch_size,
            image_size=segment.image_size,
            seed=config.seed,
            rank=Rank(device.rank, device.world_size),
            first_step=segment.first_step,
            last_step=segment.last_step,
            augmentation=config.augmentation,
            normalization=config.normalization,
            feed=config.feed,
            health=self._health,
            threads=device.feed_threads,
        )


class Validation:
    """One feed and one compiled network for all evaluations of a run."""

    def __init__(self, run: Run, directory: Path) -> None:
        """Open the dataset.

        Raises:
            UserError: it is damaged.
        """
        self._run = run
        manifest = load_manifest(directory)
        self._rows = manifest.rows
        same_kind = (manifest.encoding.name == "yuv420") == (run.manifest.encoding.name == "yuv420")
        self._feed = open_eval_feed(
            directory,
            batch_size=min(run.config.batch_size, EVAL_BATCH_MAX),
            image_size=run.config.image_height,
            rank=Rank(run.device.rank, run.device.world_size),
            normalization=run.config.normalization,
            feed=run.config.feed if same_kind else "auto",
            threads=run.device.feed_threads,
        )
        self._classifier = classifier_for(self._feed, run.published)

    def score(self) -> Score:
        """Count this moment's hits over all ranks; leaves the run's network in training mode.

        Raises:
            UserError: see `evaluate`.
        """
        score = evaluate(self._run.device, self._classifier, self._feed, self._rows)
        self._run.network.set_train(True)
        return score
