"""Evaluates a network on a dataset: integers, every image once."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from mindspore import Tensor, nn

from convert.errors import UserError
from tinydarknet.device import Device, sum_over_ranks
from tinydarknet.evaluation.counting import count_hits
from tinydarknet.feed.opening import Feed
from tinydarknet.model.inputs import INPUT_CELLS, Classifier


@dataclass(frozen=True)
class Score:
    """What an evaluation counted."""

    top1: int
    """Images whose class had the highest logit."""
    top5: int
    """Images whose class was among the five highest."""
    total: int
    """Images evaluated."""
    seconds: float
    """Wall time."""

    @property
    def accuracies(self) -> dict[str, float]:
        """In the reference's words."""
        return {"top_1_accuracy": self.top1 / self.total, "top_5_accuracy": self.top5 / self.total}

    def line(self) -> str:
        """The reference's line, for those who grep for "accuracy: "."""
        return f"accuracy:  {self.accuracies}"

    def interval(self, hits: int) -> tuple[float, float]:
        """The 95 % Wilson score interval (Wilson 1927) of hits / total."""
        z, n, p = 1.959964, self.total, hits / self.total
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, middle - half), min(1.0, middle + half)


def classifier_for(feed: Feed, network: nn.Cell) -> Classifier:
    """The network behind the input cell that fits the feed's image columns."""
    return Classifier(INPUT_CELLS[feed.columns[:-2]](), network)


def evaluate(device: Device, classifier: Classifier, feed: Feed, expected_rows: int) -> Score:
    """Count hits over a whole evaluation feed and over all ranks; leaves `classifier` in inference mode.

    Raises:
        UserError: the images counted are not as many as the dataset's rows, or the network gives NaN.
    """
    start = time.perf_counter()
    classifier.set_train(False)
    counts = np.zeros(3, np.int64)
    for batch in feed:
        logits = classifier(*(Tensor(batch[name]) for name in feed.columns[:-2])).asnumpy()
        try:
            counts += count_hits(logits, batch["label"])
        except ValueError as error:
            raise UserError(
                f"cannot evaluate: {error}; the weights have diverged or belong to other classes"
            ) from error
    top1, top5, total = (int(count) for count in sum_over_ranks(device, counts))
    if total != expected_rows:
        raise UserError(
            f"evaluated {total} images, the dataset has {expected_rows}: run 'python -m convert verify' on it"
        )
    return Score(top1, top5, total, time.perf_counter() - start)
