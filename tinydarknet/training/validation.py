"""Scores a run's weights on its validation set, time and again."""

from __future__ import annotations

from pathlib import Path

from convert.manifest import load_manifest
from tinydarknet.evaluation.counting import Score
from tinydarknet.evaluation.scoring import classifier_for, evaluate
from tinydarknet.feed.opening import open_eval_feed
from tinydarknet.training.assembly import Run

EVAL_BATCH_MAX = 64


class Validation:
    """One feed and one compiled network for all evaluations of a run."""

    def __init__(self, run: Run, directory: Path) -> None:
        """Open the dataset.

        Raises:
            UserError: it is damaged.
        """
        self._run = run
        self._rows = load_manifest(directory).rows
        self._feed = open_eval_feed(
            directory,
            batch_size=min(run.config.batch_size, EVAL_BATCH_MAX),
            image_size=run.config.image_height,
            rank=run.device.rank,
            world_size=run.device.world_size,
            normalization=run.config.normalization,
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
