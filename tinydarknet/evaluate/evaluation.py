"""Carries out the command: one pass over the dataset for each image size, then everything that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convert.dataset import Dataset
from convert.dataset.manifest import Manifest
from convert.errors import UserError
from convert.json_fields import write_json
from tinydarknet import device as devices
from tinydarknet.darknet_weights import load_any
from tinydarknet.device import Device
from tinydarknet.evaluate.options import EvaluateOptions
from tinydarknet.evaluate.outcome import Outcome
from tinydarknet.evaluate.passes import Evaluation, classifier_for, evaluate_images
from tinydarknet.evaluate.report_folder import Findings, write_findings
from tinydarknet.evaluate.scores import REFERENCE_BATCH, calibrate, count, reference_positions
from tinydarknet.evaluate.tables import SizeRow
from tinydarknet.evaluate.worst import WorstInputs, draw_inputs
from tinydarknet.feed.loader import open_eval_feed
from tinydarknet.model.checkpoint import Checkpoint, build_network
from tinydarknet.model.description import check_classes
from tinydarknet.model.network import TinyDarkNet


@dataclass(frozen=True)
class Setting:
    """What every pass needs."""

    options: EvaluateOptions
    manifest: Manifest
    device: Device
    checkpoint: Checkpoint
    network: TinyDarkNet


@dataclass(frozen=True)
class Pass:
    """One look at the dataset."""

    image_size: int
    evaluation: Evaluation
    pictures: dict[int, np.ndarray]
    """Of the worst images, where they were asked for: by id, RGB uint8 [S, S, 3]."""
    choice: str
    """Which feed it was, and why."""


def run(options: EvaluateOptions, manifest: Manifest) -> None:
    """Evaluate, print, write; the first rank speaks and writes for all.

    Raises:
        UserError: checkpoint or device are not what they should be, or images are missing from the counts.
    """
    device, notes = devices.set_up(options)
    for note in notes if device.is_first else ():
        print(note)
    checkpoint = load_any(options.checkpoint_path)
    model = checkpoint.description.model
    check_classes(model.classes, manifest, options.checkpoint_path, options.val_data_path)
    setting = Setting(options, manifest, device, checkpoint, build_network(checkpoint))

    main_size = options.image_size or model.image_size
    first = look(setting, main_size, with_pictures=options.report_dir is not None)
    others = [look(setting, size) for size in sorted({*options.sweep} - {main_size})]
    if device.is_first:
        passes = sorted([first, *others], key=lambda one: one.image_size) if options.sweep else [first]
        conclude(setting, first, [size_row(one) for one in passes])


def look(setting: Setting, image_size: int, *, with_pictures: bool = False) -> Pass:
    """Score every image at one size."""
    options, device, normalization = setting.options, setting.device, setting.checkpoint.description.model.normalization
    feed = open_eval_feed(
        options.val_data_path,
        batch_size=options.batch_size,
        image_size=image_size,
        rank=device.rank,
        world_size=device.world_size,
        normalization=normalization,
        feed=options.feed,
        threads=device.feed_threads,
    )
    classifier = classifier_for(feed, setting.network)
    worst = WorstInputs(options.worst) if with_pictures else None
    evaluation = evaluate_images(
        device, classifier, feed, setting.manifest.rows, flip=options.flip, worst=worst, progress=True
    )
    pictures = (
        {}
        if worst is None
        else draw_inputs(device, worst, evaluation.scores, classifier.images, normalization, image_size)
    )
    return Pass(image_size, evaluation, pictures, feed.choice)


def size_row(one: Pass) -> SizeRow:
    """A pass as a line of the sweep."""
    score, flip = one.evaluation.score, one.evaluation.flip_score
    return SizeRow(
        one.image_size,
        score.top1,
        score.top5,
        score.total,
        flip.top1 if flip else None,
        flip.top5 if flip else None,
        round(score.seconds, 3),
    )


def conclude(setting: Setting, first: Pass, sizes: Sequence[SizeRow]) -> None:
    """Print the counts, then write what was asked for.

    Raises:
        UserError: it cannot be written.
    """
    outcome = outcome_of(setting, first, sizes)
    print(first.choice)
    for line in outcome.lines():
        print(line)
    options, manifest, scores = setting.options, setting.manifest, first.evaluation.scores
    try:
        if options.json is not None:
            write_json(options.json, outcome.fields())
        if options.report_dir is not None:
            keys = Dataset(options.val_data_path, map_shards=False).index.column("key").to_pylist()
            findings = Findings(scores, keys, manifest.classes, outcome.calibration, first.pictures, sizes)
            names = write_findings(options.report_dir, findings, outcome.fields(), figures=options.plots)
            print(f"wrote {', '.join(names)} to {options.report_dir}")
    except OSError as error:
        raise UserError(f"the results cannot be written ({error}): choose another --report-dir or --json") from error


def outcome_of(setting: Setting, first: Pass, sizes: Sequence[SizeRow]) -> Outcome:
    """Everything that is said about the passes."""
    options, manifest, device, evaluation = setting.options, setting.manifest, setting.device, first.evaluation
    reference = None
    if options.legacy_drop:
        reference = count(evaluation.scores[reference_positions(manifest.rows, REFERENCE_BATCH, device.world_size)])
    return Outcome(
        evaluation.score,
        evaluation.flip_score,
        reference,
        calibrate(evaluation.scores),
        sizes,
        first.image_size,
        device.world_size,
        {
            "feed": first.choice,
            "device_target": device.target,
            "checkpoint_path": str(options.checkpoint_path),
            "weights": setting.checkpoint.description.model.source,
            "val_data_path": str(options.val_data_path),
            "dataset_digest": manifest.logical_digest,
            "versions": devices.versions(),
        },
    )
