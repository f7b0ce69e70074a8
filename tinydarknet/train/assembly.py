"""From a configuration to the parts of a run, all of one size and kind on every rank."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mindspore import Parameter, nn

from convert.dataset.manifest import Manifest, load_manifest
from convert.errors import UserError
from tinydarknet.config import TrainConfig
from tinydarknet.darknet_weights import load_any
from tinydarknet.device import Device
from tinydarknet.feed.order import steps_per_epoch
from tinydarknet.model.checkpoint import fill
from tinydarknet.model.description import RunState, check_classes
from tinydarknet.model.network import TinyDarkNet, lower_precision
from tinydarknet.run_folder.paths import RunFolder, open_run_folder
from tinydarknet.train.schedule import Milestones, learning_rates
from tinydarknet.train.step import DynamicLossScale, WeightAverage, build_optimizer


@dataclass
class Run:
    """A run's parts, and where it stands."""

    config: TrainConfig
    device: Device
    folder: RunFolder
    manifest: Manifest
    network: TinyDarkNet
    """What is trained."""
    averaged: TinyDarkNet | None
    """The same with the moving average of its weights, if one is kept."""
    average: WeightAverage | None
    """Takes `network` into `averaged`."""
    optimizer: nn.Optimizer
    loss_scale: float | DynamicLossScale
    milestones: Milestones
    rates: np.ndarray
    """Learning rates, float32 [total steps]."""
    state: RunState

    @property
    def batch_size(self) -> int:
        """Images per update and rank."""
        return self.config.batch_size * self.config.gradient_accumulation

    @property
    def published(self) -> TinyDarkNet:
        """The network that is evaluated, and whose weights are a checkpoint's own: the averaged one if there is one."""
        return self.network if self.averaged is None else self.averaged

    @property
    def weights(self) -> dict[str, Parameter]:
        """The published network's parameters by their names in a checkpoint."""
        if self.average is not None:
            return self.average.named_averages
        return {parameter.name: parameter for parameter in self.network.get_parameters()}

    @property
    def resume_state(self) -> dict[str, Parameter]:
        """What resuming needs beside the published weights; the learning rates follow from the configuration."""
        return {**self.training_state, **({} if self.average is None else self.average.named_sources)}

    @property
    def training_state(self) -> dict[str, Parameter]:
        """The optimiser's and the loss scale's parameters by name."""
        weights = {id(parameter) for parameter in self.network.get_parameters()}
        own = [p for p in self.optimizer.get_parameters() if id(p) not in weights]
        own = [parameter for parameter in own if not parameter.name.startswith("learning_rate")]
        if isinstance(self.loss_scale, DynamicLossScale):
            own += self.loss_scale.get_parameters()
        return {parameter.name: parameter for parameter in own}


def assemble(config: TrainConfig, device: Device, manifest: Manifest) -> tuple[Run, list[str]]:
    """Build a run that has done no step yet, and open its folder; also returns sentences for the user.

    Raises:
        UserError: dataset, weights or folder do not fit the configuration.
    """
    _check_datasets(config, manifest)
    num_classes, batch_size = len(manifest.classes), config.batch_size * config.gradient_accumulation
    global_batch = batch_size * device.world_size
    per_epoch = steps_per_epoch(manifest.rows, batch_size, device.world_size)
    if per_epoch == 0:
        raise UserError(
            f"one step takes {global_batch} images, the dataset {config.data_path} has {manifest.rows}: "
            "use a smaller batch_size"
        )
    rates = _rates(config, global_batch, per_epoch)
    network = TinyDarkNet(
        num_classes, config.variant, config.seed, keep_argmax=device.target == "CPU", fused=device.target == "Ascend"
    )
    notes = []
    if config.pre_trained and config.checkpoint_path is not None:
        notes = initial_weights(config.checkpoint_path, network, config, manifest)
    averaged = TinyDarkNet(num_classes, config.variant) if config.ema_decay else None
    average = WeightAverage(network, averaged, config.ema_decay) if averaged is not None else None
    optimizer = build_optimizer(network, rates, config.momentum, config.weight_decay, config.nesterov)
    level = device.amp_level(config.amp_level)
    if level != "O0" and not device.supports(config.amp_dtype):
        raise UserError(f"{config.amp_dtype} needs an Ascend 910B or later: take --amp-dtype float16")
    for each in (network, averaged):
        if each is not None:
            lower_precision(each, level, config.amp_dtype)
    dynamic = device.follows_overflows(config)
    if dynamic and not config.is_dynamic_loss_scale:
        notes.append(f"the loss scale follows overflows, from {config.loss_scale:g} on (--fixed-loss-scale keeps it)")
    folder = open_run_folder(config.run_dir, config.resume) if device.is_first else RunFolder(config.run_dir or Path())
    run = Run(
        config=config,
        device=device,
        folder=folder,
        manifest=manifest,
        network=network,
        averaged=averaged,
        average=average,
        optimizer=optimizer,
        loss_scale=DynamicLossScale(config.loss_scale) if dynamic else config.loss_scale,
        milestones=Milestones(
            steps_per_epoch=per_epoch,
            total_steps=len(rates),
            checkpoint_every=config.checkpoint_every_steps or per_epoch,
            evaluate_every=config.eval_every * per_epoch if config.val_data_path is not None else 0,
        ),
        rates=rates,
        state=RunState(0, per_epoch, global_batch, config.seed, manifest.logical_digest),
    )
    return run, notes


def _check_datasets(config: TrainConfig, manifest: Manifest) -> None:
    classes = manifest.classes
    if len(classes) < 2:
        raise UserError(
            f"{config.data_path} has one class only, {''.join(entry.wnid for entry in classes)}: training needs two at least; convert the folder that holds "
            "the class folders"
        )
    if config.num_classes not in (0, len(classes)):
        raise UserError(
            f"num_classes is {config.num_classes}, the dataset {config.data_path} has {len(classes)}: leave num_classes out"
        )
    if config.val_data_path is not None and load_manifest(config.val_data_path).classes != classes:
        raise UserError(
            f"{config.val_data_path} and {config.data_path} have different classes: convert both with the same --classes"
        )


def _rates(config: TrainConfig, global_batch: int, per_epoch: int) -> np.ndarray:
    scale = global_batch / config.lr_base_batch if config.lr_base_batch else 1.0
    return learning_rates(
        dataclasses.replace(config, lr_init=config.lr_init * scale, eta_min=config.eta_min * scale), per_epoch
    )


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
    fill(network.get_parameters(), loaded.weights, str(path))
    notes = [f"starting from the weights in {path}: {model.source}"]
    if model.normalization != config.normalization:
        numbers = {name: " ".join(map(str, values)) for name, values in dataclasses.asdict(model.normalization).items()}
        notes.append(
            f"warning: {path} was trained on other normalised images; to go on with its own, say "
            f"--normalization.mean {numbers['mean']} --normalization.std {numbers['std']}"
        )
    return notes
