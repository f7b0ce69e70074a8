"""Weights and state from files, into a run: a start from pretrained weights, or going on where a run stopped."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from mindspore import Parameter

from convert.errors import UserError
from convert.manifest import Manifest
from tinydarknet.config import TrainConfig
from tinydarknet.model import checkpoint as checkpoints
from tinydarknet.model.description import RunState, check_classes
from tinydarknet.model.network import TinyDarkNet
from tinydarknet.training.run_folder import RunFolder


def initial_weights(path: Path, network: TinyDarkNet, config: TrainConfig, manifest: Manifest) -> None:
    """Load pretrained weights for the same classes.

    Raises:
        UserError: unreadable, of another variant or for other classes.
    """
    loaded = checkpoints.load(path)
    model = loaded.description.model
    if model.variant != config.variant:
        raise UserError(
            f"{path} is of variant {model.variant}, the run of {config.variant}: say --variant {model.variant}"
        )
    check_classes(model.classes, manifest, path, config.data_path)
    checkpoints.fill(network.get_parameters(), loaded.weights, str(path))


def restore_newest(
    folder: RunFolder, network: TinyDarkNet, state_parameters: Sequence[Parameter], fresh: RunState
) -> tuple[RunState, list[str]]:
    """Load the newest sound checkpoint of a run: weights, optimiser, averages.

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
            raise UserError(f"{path} does not say where its run stood: it is not this run's")
        _check_same_run(path, saved, fresh)
        checkpoints.fill(network.get_parameters(), loaded.weights, str(path))
        checkpoints.fill(state_parameters, loaded.state, str(path))
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
