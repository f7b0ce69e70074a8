"""A run's checkpoints: what goes into them, and which of them stay."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from mindspore import Tensor

from tinydarknet import device as devices
from tinydarknet.evaluation.counting import Score
from tinydarknet.model import checkpoint
from tinydarknet.model.description import Description, ModelDescription
from tinydarknet.training.assembly import Run

STATISTICS = (".moving_mean", ".moving_variance")


def save(run: Run, step: int) -> None:
    """Write the checkpoint after `step` updates, and remove those that are too many; all ranks must call this."""
    run.state = dataclasses.replace(run.state, step=step)
    agree_on_statistics(run)
    if run.device.is_first:
        _write(run, run.folder.checkpoint(step))
        run.folder.prune(run.config.keep_checkpoint_max)


def save_if_best(run: Run, step: int, score: Score) -> None:
    """Keep the weights after `step` updates if they score better than any before."""
    accuracy = score.top1 / score.total
    if accuracy > run.state.best_top1:
        run.state = dataclasses.replace(run.state, step=step, best_top1=accuracy)
        if run.device.is_first:
            _write(run, run.folder.best)


def agree_on_statistics(run: Run) -> None:
    """Give all ranks the mean of their batch norm statistics, each of which saw a part of the images.

    Training itself does not use them; a run that is resumed here goes on from the same ones.
    """
    if run.device.world_size == 1:
        return
    parameters = [*run.network.get_parameters(), *(run.average.averages if run.average is not None else ())]
    moving = [parameter for parameter in parameters if parameter.name.endswith(STATISTICS)]
    means = devices.mean_over_ranks(run.device, np.concatenate([p.asnumpy() for p in moving]))
    starts = np.cumsum([p.size for p in moving])[:-1]
    for parameter, values in zip(moving, np.split(means, starts), strict=True):
        parameter.set_data(Tensor(values))


def _write(run: Run, path: Path) -> None:
    kind = "trained" if run.average is None else f"moving average (decay {run.config.ema_decay}) of weights trained"
    source = f"{kind} for {run.state.step} steps on dataset {run.state.dataset_digest[:12]}"
    model = ModelDescription(
        run.config.variant, run.manifest.classes, run.config.normalization, run.config.image_height, source
    )
    checkpoint.write(path, run.weights, Description(model, run.state), run.resume_state)
