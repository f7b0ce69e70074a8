"""How many images of a dataset an exported network gets right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.errors import UserError
from convert.manifest import load_manifest
from tinydarknet.evaluation.counting import count
from tinydarknet.evaluation.scores import score_batch
from tinydarknet.exporting.design import Design
from tinydarknet.exporting.running import Runner, run_in_batches
from tinydarknet.exporting.samples import dataset_images


@dataclass(frozen=True)
class Accuracy:
    """Hits on an evaluation set."""

    top1: int
    top5: int
    total: int
    dataset_digest: str
    """Of the evaluation set (its manifest's logical digest)."""

    def __str__(self) -> str:
        return f"top-1 {self.top1} and top-5 {self.top5} of {self.total}"

    @property
    def top1_fraction(self) -> float:
        """Top-1 accuracy, 0 to 1."""
        return self.top1 / self.total


def measure_accuracy(run: Runner, design: Design, data_path: Path) -> Accuracy:
    """Run every image of a dataset once.

    Raises:
        UserError: no dataset, a damaged one, or a network whose output is no number.
    """
    tables = []
    for images in dataset_images(design.image_size, data_path):
        inputs = images.inputs(design.input, design.model.normalization)
        answers = run_in_batches(run, inputs, design.batch or len(images.labels))
        try:
            # of probabilities as of logits: only their order counts
            tables.append(score_batch(answers, images.labels, np.arange(len(answers))))
        except ValueError as error:
            raise UserError(f"cannot score the export on {data_path}: {error}") from error
    score = count(np.concatenate(tables))
    return Accuracy(score.top1, score.top5, score.total, load_manifest(data_path).logical_digest)
