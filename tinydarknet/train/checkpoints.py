"""A run's checkpoints: what goes into them, and which of them stay."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from mindspore import Tensor

from convert.errors import UserError
from tinydarknet.device import mean_over_ranks
from tinydarknet.evaluate.scores import Score
from tinydarknet.model import checkpoint
from tinydarknet.model.description import Description, ModelDescription, RunState
from tinydarknet.train.assembly import Run
from tinydarknet.train.step import WeightAverage

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
    means = mean_over_ranks(run.device, np.concatenate([p.asnumpy() for p in moving]))
    starts = np.cumsum([p.size for p in moving])[:-1]
    for parameter, values in zip(moving, np.split(means, starts), strict=True):
        parameter.set_data(Tensor(values))


def _write(run: Run, path: Path) -> None:
    kind = "trained" if run.average is None else f"moving average (decay {run.config.ema_decay}) of weights trained"
    source = f"{kind} for {run.state.step} steps on dataset {run.state.dataset_digest[:12]}"
    config, level = run.config, run.device.amp_level(run.config.amp_level)
    model = ModelDescription(
        config.variant, run.manifest.classes, config.normalization, config.image_height, source, level, config.amp_dtype
    )
    checkpoint.write(path, run.weights, Description(model, run.state), run.resume_state)


def restore_newest(run: Run) -> list[str]:
    """Load a run's newest checkpoint that is whole: weights, their moving average, the optimiser's state, `run.state`.

    A run whose moving average is switched on here starts it at its weights; one whose average is switched off drops it.

    Returns:
        Sentences for the user.

    Raises:
        UserError: all checkpoints are damaged, or they are of another dataset, seed or global batch.
    """
    notes: list[str] = []
    candidates = run.folder.newest_first()
    for path in candidates:
        try:
            loaded = checkpoint.load(path)
        except UserError as error:
            notes.append(f"warning: skipped a checkpoint: {error}")
            continue
        saved = loaded.description.run
        if saved is None:
            raise UserError(
                f"{path} does not say where its run stood, it is not this run's: move it out of the run folder"
            )
        _check_same_run(path, saved, run.state)
        raw = WeightAverage.sources_in(loaded.state) or loaded.weights
        checkpoint.fill(run.network.get_parameters(), raw, str(path))
        if run.average is not None:
            checkpoint.fill_named(run.average.named_averages, loaded.weights, str(path))
        checkpoint.fill_named(run.training_state, loaded.state, str(path))
        run.state = saved
        return [*notes, f"going on from {path} after step {saved.step}"]
    if candidates:
        raise UserError(f"all {len(candidates)} checkpoints in {run.folder.checkpoints} are damaged: start a new run")
    return ["the run had not saved yet: starting from step 0"]


def _check_same_run(path: Path, saved: RunState, fresh: RunState) -> None:
    for field in dataclasses.fields(RunState):
        before, now = getattr(saved, field.name), getattr(fresh, field.name)
        if before != now and field.name not in ("step", "best_top1"):
            raise UserError(
                f"cannot go on from {path}: its {field.name} is {before}, now it would be {now}; "
                "use the same dataset, seed and global batch (batch_size x gradient_accumulation x ranks)"
            )
