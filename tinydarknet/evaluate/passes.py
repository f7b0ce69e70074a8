"""A network over a feed: every image once, over all ranks, and per image what the tables need."""

from __future__ import annotations

import time
from dataclasses import dataclass

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from scipy.special import log_softmax
from tqdm import tqdm

from convert.errors import UserError
from tinydarknet.device import Device, gather_over_ranks
from tinydarknet.evaluate.scores import Score, count, score_batch
from tinydarknet.evaluate.worst import WorstInputs
from tinydarknet.feed.loader import Feed
from tinydarknet.feed.order import PADDING
from tinydarknet.model.inputs import INPUT_CELLS, Classifier


class BothWays(nn.Cell):
    """A classifier's logits for images and for their mirror images: its inputs to two float32 [B, classes]."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(auto_prefix=False)
        self.images = classifier.images
        self.network = classifier.network

    def construct(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Compute both."""
        rgb = self.images(*inputs)
        plain, mirrored = self.network(rgb), self.network(ops.flip(rgb, (3,)))
        return ops.cast(plain, ms.float32), ops.cast(mirrored, ms.float32)


def mean_prediction(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Logits, float64 [B, classes], of the mean of two predictions' probabilities (Krizhevsky et al. 2012, section 4.1)."""
    one, other = (log_softmax(logits.astype(np.float64), axis=1) for logits in (one, other))
    return np.logaddexp(one, other) - np.log(2)


@dataclass(frozen=True)
class ScoredImages:
    """What one pass over a dataset found; equal on every rank."""

    scores: np.ndarray
    """SCORE [rows], in the order of the ids."""
    seconds: float
    """Wall time."""
    both_ways: np.ndarray | None = None
    """The same for the mean of the predictions for each image and its mirror image."""

    @property
    def score(self) -> Score:
        """The counts of `scores`."""
        return count(self.scores, self.seconds)

    @property
    def flip_score(self) -> Score | None:
        """The counts of `both_ways`."""
        return None if self.both_ways is None else count(self.both_ways)


def classifier_for(feed: Feed, network: nn.Cell) -> Classifier:
    """The network behind the input cell that fits the feed's image columns."""
    return Classifier(INPUT_CELLS[feed.image_columns](), network)


def evaluate(device: Device, classifier: Classifier, feed: Feed, expected_rows: int) -> Score:
    """Only the counts of `score_images`."""
    return score_images(device, classifier, feed, expected_rows).score


def score_images(
    device: Device,
    classifier: Classifier,
    feed: Feed,
    expected_rows: int,
    *,
    flip: bool = False,
    worst: WorstInputs | None = None,
    progress: bool = False,
) -> ScoredImages:
    """Score every image of an evaluation feed, over all ranks; leaves `classifier` in inference mode.

    Args:
        device: this rank's.
        classifier: see `classifier_for`.
        feed: this rank's share of the dataset.
        expected_rows: of the whole dataset.
        flip: score the mirror images too.
        worst: is shown every batch, so that its inputs can be drawn.
        progress: show a bar on a terminal.

    Raises:
        UserError: the images scored are not the dataset's rows, each once, or the network gives NaN.
    """
    start = time.perf_counter()
    cell = (BothWays(classifier) if flip else classifier).set_train(False)
    image_columns = feed.image_columns
    tables: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for batch in tqdm(
        feed.reused(), total=feed.steps, unit="batch", disable=None if progress and device.is_first else True
    ):
        output = cell(*(Tensor(batch[name]) for name in image_columns))
        predictions = [output.asnumpy()] if not flip else [view.asnumpy() for view in output]
        if flip:
            predictions[1] = mean_prediction(*predictions)
        try:
            scores = [score_batch(logits, batch["label"], batch["id"]) for logits in predictions]
        except ValueError as error:
            raise UserError(
                f"cannot evaluate: {error}; the weights have diverged or belong to other classes"
            ) from error
        for table, part in zip(tables, scores, strict=False):
            table.append(part)
        if worst is not None:
            worst.see(scores[0], batch, image_columns)
    plain, *both_ways = (_all_ranks(device, table, expected_rows) for table in tables if table)
    return ScoredImages(plain, time.perf_counter() - start, both_ways[0] if both_ways else None)


def _all_ranks(device: Device, table: list[np.ndarray], expected_rows: int) -> np.ndarray:
    """All ranks' scores in the order of their ids, without padding."""
    scores = gather_over_ranks(device, np.concatenate(table))
    scores = scores[scores["id"] != PADDING]
    scores = scores[np.argsort(scores["id"], kind="stable")]
    distinct = len(np.unique(scores["id"]))
    if len(scores) != expected_rows or distinct != expected_rows:
        raise UserError(
            f"evaluated {len(scores)} images, {distinct} of them different, the dataset has {expected_rows}: "
            "run 'python -m convert verify' on it"
        )
    return scores
