"""The inputs with the highest losses, kept while a pass goes by: some tens of images, whatever the dataset's size."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn

from tinydarknet.colour import Normalization
from tinydarknet.device import Device, sum_over_ranks
from tinydarknet.feed.order import PADDING
from tinydarknet.feed.prefetch import Batch


class WorstInputs:
    """Keeps what the network was given for the `limit` images that it did worst on; of equal losses the lower id's."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}")
        self.limit = limit
        self._kept: list[tuple[tuple[float, int], Batch]] = []

    @property
    def inputs(self) -> dict[int, Batch]:
        """By id, worst first: one image's columns each."""
        return {image_id: columns for (_, image_id), columns in self._kept}

    def see(self, scores: np.ndarray, batch: Batch, columns: tuple[str, ...]) -> None:
        """Look at a batch: its scores, SCORE [B], and its image columns, which are copied where they are kept."""
        for place in worst_first(scores)[: self.limit]:
            key = (-float(scores["loss"][place]), int(scores["id"][place]))
            full = len(self._kept) == self.limit
            if key[1] == PADDING or (full and key > self._kept[-1][0]):
                continue
            self._kept.append((key, {name: batch[name][place].copy() for name in columns}))
            self._kept.sort(key=lambda kept: kept[0])
            del self._kept[self.limit :]


def worst_first(scores: np.ndarray) -> np.ndarray:
    """The order of a table of scores by falling loss, then by rising id, int64 [n]; padding comes last."""
    return np.lexsort((scores["id"], -scores["loss"], scores["id"] == PADDING))


def draw_inputs(
    device: Device, worst: WorstInputs, scores: np.ndarray, images: nn.Cell, normalization: Normalization, side: int
) -> dict[int, np.ndarray]:
    """What the network saw of the images it did worst on, worst first: by id, RGB uint8 [S, S, 3]; equal on every rank.

    Args:
        device: this rank's.
        worst: what this rank kept.
        scores: of all ranks' images.
        images: the network's input cell.
        normalization: that the cell applies.
        side: S, pixels.
    """
    ids = scores["id"][worst_first(scores)[: worst.limit]].tolist()
    pictures = np.zeros((len(ids), side, side, 3), np.int64)
    own = {image_id: columns for image_id, columns in worst.inputs.items() if image_id in set(ids)}
    if own:
        columns = next(iter(own.values()))
        inputs = (Tensor(np.stack([kept[name] for kept in own.values()])) for name in columns)
        normalized = images(*inputs).asnumpy().transpose(0, 2, 3, 1)
        rgb = normalized * np.asarray(normalization.std) + np.asarray(normalization.mean)
        pictures[[ids.index(image_id) for image_id in own]] = np.clip(np.rint(rgb), 0, 255)
    # each picture is one rank's own and zero on the others
    whole = sum_over_ranks(device, pictures.reshape(-1)).reshape(pictures.shape).astype(np.uint8)
    return dict(zip(ids, whole, strict=True))
