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
from tinydarknet.evaluate.passes import ScoredImages, classifier_for, score_images
from tinydarknet.evaluate.result import EvaluationResult
from tinydarknet.evaluate.result_folder import write_folder
from tinydarknet.evaluate.tables import SizeRow
from tinydarknet.evaluate.worst import WorstInputs, draw_inputs
from tinydarknet.feed.loader import open_eval_feed
from tinydarknet.feed.order import Rank
from tinydarknet.model.checkpoint import Checkpoint, build_network
from tinydarknet.model.description import check_classes
from tinydarknet.model.network import TinyDarkNet, lower_precision


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
    """The dataset, gone through once."""

    image_size: int
    scored: ScoredImages
    pictures: dict[int, np.ndarray]
    """Of the worst images, where they are wanted: by id, RGB uint8 [S, S, 3]."""
    choice: str
    """Which feed it was, and why."""


def evaluate_dataset(options: EvaluateOptions, manifest: Manifest) -> None:
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
    network = build_network(checkpoint)
    if device.supports(model.amp_dtype):
        lower_precision(network, model.amp_level, model.amp_dtype)
    elif device.is_first:
        print(f"the network was trained in {model.amp_dtype}, which this device has not: evaluating in float32")
    setting = Setting(options, manifest, device, checkpoint, network)

    main_size = options.image_size or model.image_size
    first = evaluate_at_size(setting, main_size, with_pictures=options.report_dir is not None)
    others = [evaluate_at_size(setting, size) for size in sorted({*options.sweep} - {main_size})]
    if device.is_first:
        passes = sorted([first, *others], key=lambda one: one.image_size) if options.sweep else [first]
        write_results(options, result_of(setting, first, [size_row(one) for one in passes]))


def evaluate_at_size(setting: Setting, image_size: int, *, with_pictures: bool = False) -> Pass:
    """Score every image at one size."""
    options, device, normalization = setting.options, setting.device, setting.checkpoint.description.model.normalization
    feed = open_eval_feed(
        options.val_data_path,
        batch_size=options.batch_size,
        image_size=image_size,
        rank=Rank(device.rank, device.world_size),
        normalization=normalization,
        feed=options.feed,
        threads=device.feed_threads,
    )
    classifier = classifier_for(feed, setting.network)
    worst = WorstInputs(options.worst) if with_pictures else None
    scored = score_images(
        device, classifier, feed, setting.manifest.rows, flip=options.flip, worst=worst, progress=True
    )
    pictures = {}
    if worst is not None:
        pictures = draw_inputs(device, worst, scored.scores, classifier.images, normalization, image_size)
    return Pass(image_size, scored, pictures, feed.choice)


def size_row(one: Pass) -> SizeRow:
    """A pass as a line of the sweep."""
    score, flip = one.scored.score, one.scored.flip_score
    flips = (flip.top1, flip.top5) if flip else (None, None)
    return SizeRow(one.image_size, score.top1, score.top5, score.total, *flips, round(score.seconds, 3))


def result_of(setting: Setting, first: Pass, sizes: Sequence[SizeRow]) -> EvaluationResult:
    """Everything that is said about the passes."""
    options, manifest, device = setting.options, setting.manifest, setting.device
    return EvaluationResult(
        scores=first.scored.scores,
        score=first.scored.score,
        flip=first.scored.flip_score,
        counts_as_reference=options.legacy_drop,
        classes=manifest.classes,
        pictures=first.pictures,
        sizes=sizes,
        image_size=first.image_size,
        world_size=device.world_size,
        circumstances={
            "feed": first.choice,
            "device_target": device.target,
            "checkpoint_path": str(options.checkpoint_path),
            "weights": setting.checkpoint.description.model.source,
            "val_data_path": str(options.val_data_path),
            "dataset_digest": manifest.logical_digest,
            "versions": devices.versions(),
        },
    )


def write_results(options: EvaluateOptions, result: EvaluationResult) -> None:
    """Print the counts, then write the files that the options name.

    Raises:
        UserError: one cannot be written.
    """
    print(result.circumstances["feed"], *result.lines(), sep="\n")
    try:
        if options.json is not None:
            write_json(options.json, result.fields())
        if options.report_dir is not None:
            keys = Dataset(options.val_data_path, map_shards=False).index.column("key").to_pylist()
            names = write_folder(options.report_dir, result, keys, figures=options.plots)
            print(f"wrote {', '.join(names)} to {options.report_dir}")
    except OSError as error:
        raise UserError(f"the results cannot be written ({error}): choose another --report-dir or --json") from error
