"""Carries out the command: one pass over the dataset for each image size, then everything that follows from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.errors import UserError
from convert.files import write_bytes
from convert.index import read_index_table
from convert.manifest import Manifest
from tinydarknet import device as devices
from tinydarknet.device import Device
from tinydarknet.evaluation.calibration import Calibration, calibrate
from tinydarknet.evaluation.counting import REFERENCE_BATCH, Score, count, reference_positions
from tinydarknet.evaluation.options import EvaluateOptions
from tinydarknet.evaluation.scoring import Evaluation, classifier_for, evaluate_images
from tinydarknet.evaluation.worst import WorstInputs, draw_inputs
from tinydarknet.evaluation.writing import Findings, SizeRow, score_fields, to_json, write_findings
from tinydarknet.feed.opening import open_eval_feed
from tinydarknet.model.checkpoint import Checkpoint, build_network
from tinydarknet.model.description import check_classes
from tinydarknet.model.network import TinyDarkNet
from tinydarknet.model_files import load_any


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
    options, evaluation = setting.options, first.evaluation
    calibration = calibrate(evaluation.scores)
    reference = None
    if options.legacy_drop:
        positions = reference_positions(setting.manifest.rows, REFERENCE_BATCH, setting.device.world_size)
        reference = count(evaluation.scores[positions])
    print(first.choice)
    for line in lines(setting, evaluation, calibration, reference, sizes):
        print(line)
    summary = summarize(setting, first, calibration, reference, sizes)
    try:
        write(setting, first, calibration, sizes, summary)
    except OSError as error:
        raise UserError(f"the results cannot be written ({error}): choose another --report-dir or --json") from error


def write(
    setting: Setting, first: Pass, calibration: Calibration, sizes: Sequence[SizeRow], summary: dict[str, Any]
) -> None:
    """Write what was asked for."""
    options, manifest = setting.options, setting.manifest
    if options.json is not None:
        write_bytes(options.json, to_json(summary).encode())
    if options.report_dir is not None:
        keys = read_index_table(options.val_data_path, manifest, ["key"]).column("key").to_pylist()
        findings = Findings(first.evaluation.scores, keys, manifest.classes, calibration, first.pictures, sizes)
        names = write_findings(options.report_dir, findings, summary, figures=options.plots)
        print(f"wrote {', '.join(names)} to {options.report_dir}")


def lines(
    setting: Setting,
    evaluation: Evaluation,
    calibration: Calibration,
    reference: Score | None,
    sizes: Sequence[SizeRow],
) -> list[str]:
    """What is said about an evaluation."""
    score, flip = evaluation.score, evaluation.flip_score
    said = [score.line()]
    for name, hits in (("top-1", score.top1), ("top-5", score.top5)):
        low, high = score.interval(hits)
        said.append(f"{name}: {_of(hits, score.total)} (95 % interval {100 * low:.2f} to {100 * high:.2f})")
    if flip is not None:
        said.append(f"with mirror images: top-1 {_of(flip.top1, flip.total)}, top-5 {_of(flip.top5, flip.total)}")
    if reference is not None:
        said.append(
            f"counted as the reference does, without the last incomplete batch of {REFERENCE_BATCH} on each rank "
            f"({setting.device.world_size}): top-1 {_of(reference.top1, reference.total)}, "
            f"top-5 {_of(reference.top5, reference.total)}"
        )
    said.append(
        f"calibration: mean probability {calibration.mean_confidence:.4f}, expected error {calibration.expected_error:.4f}, "
        f"mean loss {calibration.mean_loss:.4f}"
    )
    if len(sizes) > 1:
        said += [
            f"at {row.image_size} px: top-1 {_of(row.top1, row.total)}, top-5 {_of(row.top5, row.total)}"
            for row in sizes
        ]
    return said


def summarize(
    setting: Setting, first: Pass, calibration: Calibration, reference: Score | None, sizes: Sequence[SizeRow]
) -> dict[str, Any]:
    """The same for machines."""
    score, flip = first.evaluation.score, first.evaluation.flip_score
    fields: dict[str, Any] = {
        **score_fields(score),
        "seconds": round(score.seconds, 3),
        "image_size": first.image_size,
        "feed": first.choice,
        "device_target": setting.device.target,
        "world_size": setting.device.world_size,
        "checkpoint_path": str(setting.options.checkpoint_path),
        "weights": setting.checkpoint.description.model.source,
        "val_data_path": str(setting.options.val_data_path),
        "dataset_digest": setting.manifest.logical_digest,
        "calibration": dataclasses.asdict(calibration),
        "versions": devices.versions(),
    }
    if flip is not None:
        fields["flip"] = score_fields(flip)
    if reference is not None:
        ranks = {"batch_size": REFERENCE_BATCH, "ranks": setting.device.world_size}
        fields["legacy_drop"] = {**ranks, **score_fields(reference)}
    if len(sizes) > 1:
        fields["sweep"] = [dataclasses.asdict(row) for row in sizes]
    return fields


def _of(hits: int, total: int) -> str:
    return f"{hits} of {total}, {100 * hits / total:.2f} %" if total else "0 of 0"
