"""Weights and state from files, into a run: a start from pretrained weights, or going on where a run stopped."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from mindspore import Parameter

from convert.errors import UserError
from convert.manifest import Manifest
from tinydarknet.config import TrainConfig
from tinydarknet.model import checkpoint as checkpoints
from tinydarknet.model.description import RunState, check_classes
from tinydarknet.model.network import TinyDarkNet
from tinydarknet.model_files import load_any
from tinydarknet.training.run_folder import RunFolder
from tinydarknet.training.step import WeightAverage


def initial_weights(path: Path, network: TinyDarkNet, config: TrainConfig, manifest: Manifest) -> list[str]:
    """Load pretrained weights for the same classes: ours or ModelZoo's (.ckpt), or Darknet's own (.weights).

    Returns:
        Sentences for the user.

    Raises:
        UserError: unreadable, of another variant or for other classes.
    """
    loaded = load_any(path)
    model = loaded.description.model
    if model.variant != config.variant:
        raise UserError(
            f"{path} is of variant {model.variant}, the run of {config.variant}: say --variant {model.variant}"
        )
    check_classes(model.classes, manifest, path, config.data_path)
    checkpoints.fill(network.get_parameters(), loaded.weights, str(path))
    notes = [f"starting from the weights in {path}: {model.source}"]
    if model.normalization != config.normalization:
        numbers = {name: " ".join(map(str, values)) for name, values in dataclasses.asdict(model.normalization).items()}
        notes.append(
            f"warning: {path} was trained on other normalised images; to go on with its own, say "
            f"--normalization.mean {numbers['mean']} --normalization.std {numbers['std']}"
        )
    return notes


def restore_newest(
    folder: RunFolder,
    network: TinyDarkNet,
    average: WeightAverage | None,
    training_state: Mapping[str, Parameter],
    fresh: RunState,
) -> tuple[RunState, list[str]]:
    """Load the newest sound checkpoint of a run: weights, their moving average, the optimiser's state.

    A run whose moving average is switched on here starts it at its weights; one whose average is switched off drops it.

    Returns:
        Where the run stands (`fresh` where it never saved), and sentences for the user.

    Raises:
        UserError: all checkpoints are damaged, or they are of another dataset, seed or global batch.
    """
    notes: list[str] = []
    candidates = folder.newest_first()
    for path in candidates:
        try:
            loaded = checkpoints.load(path)
        except UserError as error:
            notes.append(f"warning: skipped a checkpoint: {error}")
            continue
        saved = loaded.description.run
        if saved is None:
            raise UserError(
                f"{path} does not say where its run stood, it is not this run's: move it out of the run folder"
            )
        _check_same_run(path, saved, fresh)
        raw = WeightAverage.sources_in(loaded.state) or loaded.weights
        checkpoints.fill(network.get_parameters(), raw, str(path))
        if average is not None:
            checkpoints.fill_named(average.named_averages, loaded.weights, str(path))
        checkpoints.fill_named(training_state, loaded.state, str(path))
        return saved, [*notes, f"going on from {path} after step {saved.step}"]
    if candidates:
        raise UserError(f"all {len(candidates)} checkpoints in {folder.checkpoints} are damaged: start a new run")
    return fresh, ["the run had not saved yet: starting from step 0"]


def _check_same_run(path: Path, saved: RunState, fresh: RunState) -> None:
    for field in dataclasses.fields(RunState):
        if field.name in ("step", "best_top1"):
            continue
        before, now = getattr(saved, field.name), getattr(fresh, field.name)
        if before != now:
            raise UserError(
                f"cannot go on from {path}: its {field.name} is {before}, now it would be {now}; "
                "use the same dataset, seed and global batch (batch_size x gradient_accumulation x ranks)"
            )
