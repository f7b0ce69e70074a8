"""Looking at every image twice: as it is, and mirrored."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from tinydarknet.model.inputs import Classifier


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
    return np.logaddexp(_log_probabilities(one), _log_probabilities(other)) - np.log(2)


def _log_probabilities(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
