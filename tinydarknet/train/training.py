"""Carries out a run: from a configuration to checkpoints, exactly and resumably."""

from __future__ import annotations

import dataclasses
import zlib
from typing import Any

import numpy as np
from mindspore.train import Model

from convert.cli import EXIT_OK
from convert.dataset import Dataset
from convert.dataset.manifest import load_manifest
from convert.errors import UserError
from convert.signals import handled, stopping
from tinydarknet import device as devices
from tinydarknet.config import TrainConfig
from tinydarknet.evaluate.passes import classifier_for
from tinydarknet.feed.loader import Feed
from tinydarknet.run_folder.dataset_card import dataset_card
from tinydarknet.run_folder.log_writer import Reporter
from tinydarknet.run_folder.paths import CONFIG_NAME, ENVIRONMENT_NAME, git_revision, plain
from tinydarknet.train.assembly import Run, assemble
from tinydarknet.train.callback import RunCallback, StopRequest
from tinydarknet.train.checkpoints import restore_newest
from tinydarknet.train.data import TrainingData, Validation
from tinydarknet.train.schedule import Segment, segments
from tinydarknet.train.step import OverflowRegister, SmoothedCrossEntropy, TrainStep


def train(config: TrainConfig) -> int:
    """Carry out the command; returns its exit status."""
    manifest = load_manifest(config.data_path)
    device, notes = devices.set_up(config, config.seed)
    run, more_notes = assemble(config, device, manifest)
    notes += [*more_notes, *_restore(run), f"run folder {run.folder.path}"]
    _check_ranks_agree(run)
    first_step, total_steps = run.state.step, run.milestones.total_steps
    reporter = Reporter(run.folder.path, device.is_first, first_step, total_steps)
    try:
        for note in notes:
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
        data = TrainingData(run)
        stop = StopRequest()
        with handled(stopping(), stop.note):
            _carry_out(run, data, reporter, stop)
        return _finish(run, data, reporter, stop)
    finally:
        reporter.close()
        run.folder.unlock()


def _restore(run: Run) -> list[str]:
    """Bring a resumed run to its newest whole checkpoint, or note the options and circumstances of a new one."""
    if run.config.resume:
        return restore_newest(run)
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
    cards = {"train": dataset_card(Dataset(run.config.data_path, map_shards=False))}
    if run.config.val_data_path is not None:
        cards["val"] = dataset_card(Dataset(run.config.val_data_path, map_shards=False))
    return {part: dataclasses.asdict(card) for part, card in cards.items()}


def _check_ranks_agree(run: Run) -> None:
    """Make sure that no rank has another seed, dataset or checkpoint; all ranks must call this.

    Raises:
        UserError: names what differs.
    """
    fields = dataclasses.asdict(run.state)
    marks = np.array([[zlib.crc32(repr(value).encode()) for value in fields.values()]], np.uint32)
    every = devices.gather_over_ranks(run.device, marks)
    differing = [name for name, column in zip(fields, every.T, strict=True) if (column != column[0]).any()]
    if differing:
        raise UserError(
            f"the ranks differ in {', '.join(differing)}: give every host the same options, dataset and run folder"
        )


def _carry_out(run: Run, data: TrainingData, reporter: Reporter, stop: StopRequest) -> None:
    """Train to the end, or until the ranks agree to stop; one graph and one feed for every image size."""
    config, per_epoch = run.config, run.milestones.steps_per_epoch
    validation = Validation(run, config.val_data_path) if config.val_data_path is not None else None
    callback = RunCallback(run, reporter, data, validation, stop)
    rest = segments(config.training_sizes, config.epoch_size, per_epoch, run.state.step)
    for number, segment in enumerate(rest):
        feed = data.feed(segment)
        if number == 0:
            reporter.say(feed.choice)
        if config.image_sizes:
            first, last = segment.first_step // per_epoch + 1, segment.last_step // per_epoch
            reporter.say(f"epochs {first} to {last} of {config.epoch_size}: images of {segment.image_size} pixels")
        if config.sink and run.device.target != "CPU" and run.milestones.stretch(*segment.steps) == 1:
            reporter.say(
                "warning: checkpoints, evaluations and epochs leave no stretch of steps in common, so the device does not "
                f"fetch its batches by itself: choose a divisor of {per_epoch} for --checkpoint-every-steps"
            )
        callback.image_size = segment.image_size
        _train_segment(run, segment, feed, callback)
        if callback.stopped:
            return


def training_step(run: Run, feed: Feed) -> TrainStep:
    """One update of a run's network on a batch of `feed`."""
    config, device = run.config, run.device
    smoothing = config.label_smooth_factor if config.use_label_smooth else 0.0
    return TrainStep(
        classifier_for(feed, run.network),
        SmoothedCrossEntropy(len(run.manifest.classes), smoothing),
        run.optimizer,
        loss_scale=run.loss_scale,
        parts=config.gradient_accumulation,
        world_size=device.world_size,
        average=run.average,
        register=OverflowRegister() if device.chip is not None and device.chip.hides_overflow else None,
    )


def _train_segment(run: Run, segment: Segment, feed: Feed, callback: RunCallback) -> None:
    config, device, step = run.config, run.device, training_step(run, feed)
    stretch = run.milestones.stretch(*segment.steps)
    sinks = config.sink and device.target != "CPU" and stretch > 1
    stretch, epochs = (stretch, (segment.last_step - segment.first_step) // stretch) if sinks else (-1, 1)
    try:
        Model(step).train(epochs, feed.dataset(), callbacks=[callback], dataset_sink_mode=sinks, sink_size=stretch)
    except RuntimeError as error:
        if (explained := feed.explain_error(error)) is not None:
            raise explained from None
        if device.world_size > 1 and devices.LOST_CONNECTION.search(str(error)):
            raise UserError("the connection to the other ranks is lost: see the launcher's last lines") from None
        raise


def _finish(run: Run, data: TrainingData, reporter: Reporter, stop: StopRequest) -> int:
    # msrun kills all ranks when one ends with a status: let none end before the first has saved
    status = devices.EXIT_TERMINATED if stop.agreed(run) else EXIT_OK
    replaced = data.replaced_images()
    if replaced:
        reporter.say(
            f"warning: damaged images replaced by others: {replaced} (--tolerate {run.config.tolerate} for each rank); "
            f"'python -m convert verify {run.config.data_path}' lists all damage"
        )
    if status != EXIT_OK:
        reporter.say(
            f"stopped as asked after step {run.state.step}, saved; go on with --run-dir {run.folder.path} --resume"
        )
    reporter.event("end", {"step": run.state.step, "status": status, "replaced": replaced})
    return status
