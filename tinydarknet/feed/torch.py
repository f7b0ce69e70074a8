"""A feed's batches in PyTorch: as an iterable dataset of tensors, and as what its networks take.

loader = DataLoader(TorchFeed(open_train_feed("data/imagenet/train", batch_size=128)), batch_size=None)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset, get_worker_info

from convert.errors import BadValueError
from tinydarknet.feed.loader import Feed

__all__ = ["PlanesToRgb", "TorchFeed"]


class PlanesToRgb(nn.Module):
    """Planes and one colour matrix per image -> RGB; the matrix already contains the normalisation. Has no weights."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        """Give images of this `dtype`; what is computed before is float32, so that bfloat16 rounds once, at the end."""
        super().__init__()
        self.dtype = dtype

    def forward(self, y: Tensor, uv: Tensor, colour: Tensor) -> Tensor:
        """Compute `colour[:, :, :3] @ (y, up(u), up(v)) + colour[:, :, 3]`, each chroma sample serving its 2x2 pixels.

        Args:
            y: uint8 [B, 1, S, S].
            uv: uint8 [B, 2, S/2, S/2].
            colour: float32 [B, 3, 4].

        Returns:
            `dtype` [B, 3, S, S], normalised RGB.
        """
        height, width = uv.shape[2:]
        column = colour.float()[..., None, None]
        u, v = uv[:, 0:1].float(), uv[:, 1:2].float()
        half = column[:, :, 1] * u + column[:, :, 2] * v + column[:, :, 3]
        luma = y.float().reshape(-1, 1, height, 2, width, 2)
        image = column[:, :, 0, :, :, None, None] * luma + half[:, :, :, None, :, None]
        return image.reshape(-1, 3, 2 * height, 2 * width).to(self.dtype)


class TorchFeed(IterableDataset[dict[str, Tensor]]):
    """A feed's batches as tensors that stay valid: by `feed.columns`, label as int64, which torch's losses want.

    For `DataLoader(feed, batch_size=None)`, or to be iterated as it is: the feed has threads of its own, so the loader
    needs no workers. Iterating begins at the feed's first step, or, once, where `load_state_dict` says.
    """

    def __init__(self, feed: Feed, *, pin: bool = False) -> None:
        """Wrap a feed; `pin` puts the tensors into page-locked memory, from which CUDA copies without waiting.

        Raises:
            BadValueError: there is no CUDA device to pin memory for.
        """
        super().__init__()
        if pin and not torch.cuda.is_available():
            raise BadValueError("pin", "must be False where PyTorch finds no CUDA device", pin)
        self.feed = feed
        self._pin = pin
        self._done = 0
        self._next_skip = 0

    def __len__(self) -> int:
        """The number of batches from the feed's first step on."""
        return self.feed.steps

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Yield the batches.

        Raises:
            BadValueError: in a worker process of a DataLoader, of which each would give all of them.
        """
        if (worker := get_worker_info()) is not None:
            raise BadValueError("num_workers", "must be 0, the feed has threads of its own", worker.num_workers)
        self._done, self._next_skip = self._next_skip, 0
        for batch in self.feed.reused(self._done):
            self._done += 1
            yield {name: self._tensor(name, torch.from_numpy(array)) for name, array in batch.items()}

    def _tensor(self, name: str, reused: Tensor) -> Tensor:
        own = reused.long() if name == "label" else reused
        if self._pin:
            return own.pin_memory()
        return reused.clone() if own is reused else own

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration stands: `step`, the one to go on with, counted over the run; and whose step it is."""
        stream = self.feed.stream
        return {
            "step": stream.first_step + self._done,
            "rows": stream.rows,
            "seed": stream.seed,
            "global_batch": stream.batch_size * stream.world_size,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration go on where `state` was taken; any number of ranks may share the global batch.

        Raises:
            BadValueError: it was taken of other images, seed or global batch, or lies outside this feed's steps.
        """
        own = self.state_dict()
        for name in ("rows", "seed", "global_batch"):
            if state.get(name) != own[name]:
                raise BadValueError("state", f"must be of a feed whose {name} is {own[name]}", state.get(name))
        skip = state["step"] - self.feed.stream.first_step
        if not 0 <= skip <= self.feed.steps:
            last = self.feed.stream.first_step + self.feed.steps
            raise BadValueError("step", f"must be in [{self.feed.stream.first_step}, {last}]", state["step"])
        self._done = self._next_skip = skip
