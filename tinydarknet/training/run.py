"""Builds a run from its configuration and carries it out."""

from __future__ import annotations

import dataclasses
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, nn
from mindspore import amp as mixed_precision
from mindspore.train import Model

from convert.cli import EXIT_INTERRUPTED, EXIT_OK
from convert.errors import UserError
from convert.manifest import Manifest, load_manifest
from tinydarknet import device as devices
from tinydarknet.config import TrainConfig
from tinydarknet.device import Device
from tinydarknet.evaluation.scoring import Score, classifier_for, evaluate
from tinydarknet.feed.health import HealthPolicy
from tinydarknet.feed.opening import open_eval_feed, open_train_feed
from tinydarknet.feed.order import steps_per_epoch
from tinydarknet.model import checkpoint as checkpoints
from tinydarknet.model.description import Description, ModelDescription, RunState
from tinydarknet.model.network import TinyDarkNet
from tinydarknet.training.callback import Actions, RunCallback, StopRequest
from tinydarknet.training.dataset_card import dataset_card
from tinydarknet.training.loss import SmoothedCrossEntropy
from tinydarknet.training.loss_scale import DynamicLossScale
from tinydarknet.training.milestones import Milestones
from tinydarknet.training.optimizer import build_optimizer
from tinydarknet.training.report import Reporter
from tinydarknet.training.restore import initial_weights, restore_newest
from tinydarknet.training.run_folder import (
    CONFIG_NAME,
    ENVIRONMENT_NAME,
    RunFolder,
    git_revision,
    open_run_folder,
    plain,
)
from tinydarknet.training.schedule import learning_rates
from tinydarknet.training.step import TrainStep, WeightAverage, reset_average

EVAL_BATCH_MAX = 64


@dataclass
class Run:
    """A run's parts, and where it stands."""

    config: TrainConfig
    device: Device
    folder: RunFolder
    manifest: Manifest
    network: TinyDarkNet
    optimizer: nn.Optimizer
    average: WeightAverage | None
    averaged: TinyDarkNet | None
    loss_scale: float | DynamicLossScale
    milestones: Milestones
    rates: np.ndarray
    state: RunState

    @property
    def batch_size(self) -> int:
        """Images per update and rank."""
        return self.config.batch_size * self.config.gradient_accumulation

    @property
    def state_parameters(self) -> list[Parameter]:
        """What resuming needs beside the weights; the learning rates follow from the configuration."""
        weights = {id(parameter) for parameter in self.network.get_parameters()}
        own = [
            p
            for p in self.optimizer.get_parameters()
            if id(p) not in weights and not p.name.startswith("learning_rate")
        ]
        own += list(self.average.averages) if self.average is not None else []
        return own + (list(self.loss_scale.get_parameters()) if isinstance(self.loss_scale, DynamicLossScale) else [])


def train(config: TrainConfig) -> int:
    """Carry out the command; returns its exit status."""
    manifest = load_manifest(config.data_path)
    device, notes = devices.set_up(config, config.seed)
    run = _build(config, device, manifest)
    restored_from = _restore(run)
    first_step, total_steps = run.state.step, run.milestones.total_steps
    reporter = Reporter(run.folder.path, device.is_first, first_step, total_steps)
    try:
        for note in (*notes, *restored_from, f"run folder {run.folder.path}"):
            reporter.say(note)
        if first_step >= total_steps:
            reporter.say(f"nothing to do: all {total_steps} steps are done")
            return EXIT_OK
        reporter.event(
            "start",
            {
                "step": first_step,
                "total_steps": total_steps,
                "steps_per_epoch": run.milestones.steps_per_epoch,
                "global_batch": run.state.global_batch,
                "world_size": device.world_size,
            },
        )
        with StopRequest() as stop:
            _carry_out(run, reporter, stop)
        return _finish(run, reporter, stop)
    finally:
        reporter.close()


def _build(config: TrainConfig, device: Device, manifest: Manifest) -> Run:
    classes = manifest.classes
    if config.num_classes not in (0, len(classes)):
        raise UserError(
            f"num_classes is {config.num_classes}, the dataset {config.data_path} has {len(classes)}: leave num_classes out"
        )
    if config.val_data_path is not None and load_manifest(config.val_data_path).classes != classes:
        raise UserError(
            f"{config.val_data_path} and {config.data_path} have different classes: convert both with the same --classes"
        )
    batch_size = config.batch_size * config.gradient_accumulation
    per_epoch = steps_per_epoch(manifest.rows, batch_size, device.world_size)
    if per_epoch == 0:
        raise UserError(
            f"one step takes {batch_size * device.world_size} images, the dataset {config.data_path} has {manifest.rows}: "
            "use a smaller batch_size"
        )
    global_batch = batch_size * device.world_size
    scale = global_batch / config.lr_base_batch if config.lr_base_batch else 1.0
    schedule = dataclasses.replace(config, lr_init=config.lr_init * scale, eta_min=config.eta_min * scale)
    rates = learning_rates(schedule, per_epoch)
    network = TinyDarkNet(len(classes), config.variant, config.seed, keep_argmax=device.target == "CPU")
    if config.pre_trained and config.checkpoint_path is not None:
        initial_weights(config.checkpoint_path, network, config, manifest)
    averaged = TinyDarkNet(len(classes), config.variant) if config.ema_decay else None
    average = WeightAverage(network, averaged, config.ema_decay) if averaged is not None else None
    if average is not None:
        reset_average(average)
    optimizer = build_optimizer(network, rates, config.momentum, config.weight_decay, config.nesterov)
    level = device.amp_level(config.amp_level)
    if level != "O0":
        mixed_precision.auto_mixed_precision(network, level)
    milestones = Milestones(
        steps_per_epoch=per_epoch,
        total_steps=len(rates),
        checkpoint_every=config.checkpoint_every_steps or per_epoch,
        evaluate_every=config.eval_every * per_epoch if config.val_data_path is not None else 0,
    )
    state = RunState(0, per_epoch, global_batch, config.seed, manifest.logical_digest)
    folder = open_run_folder(config.run_dir, config.resume) if device.is_first else RunFolder(config.run_dir or Path())
    loss_scale = DynamicLossScale(config.loss_scale) if config.is_dynamic_loss_scale else config.loss_scale
    return Run(
        config, device, folder, manifest, network, optimizer, average, averaged, loss_scale, milestones, rates, state
    )


def _restore(run: Run) -> list[str]:
    """Bring a resumed run to its newest sound checkpoint, or note what a new one was told."""
    if run.config.resume:
        run.state, notes = restore_newest(run.folder, run.network, run.state_parameters, run.state)
        return notes
    if run.device.is_first:
        run.folder.write_json(CONFIG_NAME, plain(run.config))
        run.folder.write_json(
            ENVIRONMENT_NAME,
            {
                "versions": devices.versions(),
                "git_revision": git_revision(),
                "device": dataclasses.asdict(run.device),
                "dataset_digest": run.manifest.logical_digest,
                "datasets": _dataset_cards(run),
            },
        )
    return []


def _dataset_cards(run: Run) -> dict[str, Any]:
    cards = {"train": dataset_card(run.config.data_path, run.manifest)}
    if run.config.val_data_path is not None:
        cards["val"] = dataset_card(run.config.val_data_path, load_manifest(run.config.val_data_path))
    return {part: dataclasses.asdict(card) for part, card in cards.items()}


def _carry_out(run: Run, reporter: Reporter, stop: StopRequest) -> None:
    config, device, first_step = run.config, run.device, run.state.step
    feed = open_train_feed(
        config.data_path,
        batch_size=run.batch_size,
        image_size=config.image_height,
        seed=config.seed,
        rank=device.rank,
        world_size=device.world_size,
        first_step=first_step,
        last_step=run.milestones.total_steps,
        augmentation=config.augmentation,
        normalization=config.normalization,
        feed=config.feed,
        health=HealthPolicy(config.tolerate, config.check_reads),
    )
    reporter.say(feed.choice)
    loss = SmoothedCrossEntropy(
        len(run.manifest.classes), config.label_smooth_factor if config.use_label_smooth else 0.0
    )
    step = TrainStep(
        classifier_for(feed, run.network),
        loss,
        run.optimizer,
        loss_scale=run.loss_scale,
        parts=config.gradient_accumulation,
        world_size=device.world_size,
        average=run.average,
    )

    def save(number: int) -> None:
        _agree_on_statistics(run)
        run.state = dataclasses.replace(run.state, step=number)
        if device.is_first:
            _save(run, run.folder.checkpoint(number))
            run.folder.prune(config.keep_checkpoint_max)

    def score(number: int) -> Score:
        _agree_on_statistics(run)
        result = _evaluate(run)
        step.set_train(True)
        accuracy = result.top1 / result.total
        if accuracy > run.state.best_top1:
            run.state = dataclasses.replace(run.state, step=number, best_top1=accuracy)
            if device.is_first:
                _save(run, run.folder.best)
        return result

    actions = Actions(save, score if config.val_data_path is not None else None)
    callback = RunCallback(
        device,
        run.milestones,
        first_step,
        run.rates,
        run.state.global_batch,
        config.log_every_steps,
        reporter,
        actions,
        stop,
    )
    sinks = config.sink and device.target != "CPU"
    stretch = run.milestones.stretch(first_step) if sinks else -1
    epochs = (run.milestones.total_steps - first_step) // stretch if sinks else 1
    Model(step).train(epochs, feed.dataset(), callbacks=[callback], dataset_sink_mode=sinks, sink_size=stretch)


def _agree_on_statistics(run: Run) -> None:
    """Give all ranks the mean of their batch norm statistics, each of which saw a part of the images.

    Training itself does not use them; a run that is resumed here goes on from the same ones.
    """
    if run.device.world_size == 1:
        return
    moving = [p for p in run.network.get_parameters() if p.name.endswith((".moving_mean", ".moving_variance"))]
    means = devices.mean_over_ranks(run.device, np.concatenate([p.asnumpy() for p in moving]))
    starts = np.cumsum([p.size for p in moving])[:-1]
    for parameter, values in zip(moving, np.split(means, starts), strict=True):
        parameter.set_data(Tensor(values))


def _evaluate(run: Run) -> Score:
    config, path = run.config, run.config.val_data_path
    if path is None:
        raise ValueError("val_data_path must be set to evaluate, got None")
    manifest = load_manifest(path)
    feed = open_eval_feed(
        path,
        batch_size=min(config.batch_size, EVAL_BATCH_MAX),
        image_size=config.image_height,
        rank=run.device.rank,
        world_size=run.device.world_size,
        normalization=config.normalization,
    )
    return evaluate(run.device, classifier_for(feed, run.averaged or run.network), feed, manifest.rows)


def _save(run: Run, path: Path) -> None:
    source = f"trained for {run.state.step} steps on dataset {run.state.dataset_digest[:12]}"
    model = ModelDescription(
        run.config.variant, run.manifest.classes, run.config.normalization, run.config.image_height, source
    )
    checkpoints.save(path, run.network, Description(model, run.state), run.state_parameters)


def _finish(run: Run, reporter: Reporter, stop: StopRequest) -> int:
    # msrun kills all ranks when one ends with a status: let none end before the first has saved
    stopped = int(devices.sum_over_ranks(run.device, np.array([stop.number]))[0])
    if stopped and not stop.number:
        stop.number = signal.SIGTERM
    status = {0: EXIT_OK, signal.SIGINT: EXIT_INTERRUPTED}.get(stop.number, devices.EXIT_TERMINATED)
    if status != EXIT_OK:
        reporter.say(
            f"stopped by {signal.Signals(stop.number).name} after step {run.state.step}, saved; go on with --run-dir {run.folder.path} --resume"
        )
    reporter.event("end", {"step": run.state.step, "status": status})
    return status
