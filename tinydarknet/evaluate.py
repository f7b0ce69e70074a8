"""Scores a checkpoint on a dataset: `python -m tinydarknet.evaluate --val-data-path DIR --checkpoint-path FILE`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from convert.cli import Command, main_single
from convert.files import write_bytes
from convert.manifest import load_manifest
from tinydarknet.config import DeviceConfig, check_image_side
from tinydarknet.feed.choosing import FeedName


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(DeviceConfig):
    """Count how many images of a dataset a checkpoint gets right, each image once."""

    val_data_path: Path
    """Dataset directory (made by 'python -m convert run')."""
    checkpoint_path: Path
    """Checkpoint of ours or of ModelZoo's."""
    json: Path | None = None
    """Also write the counts to this file, as JSON."""
    batch_size: int = 64
    """Images per step; the counts do not depend on it."""
    image_size: int = 0
    """Pixels of the square image; 0 takes the checkpoint's."""
    feed: FeedName = "auto"
    """How batches are made; auto takes the dataset's fastest."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        if self.image_size:
            check_image_side("image_size", self.image_size)


def evaluate_checkpoint(options: EvaluateOptions) -> None:
    """Carry out the command."""
    manifest = load_manifest(options.val_data_path)

    from tinydarknet import device as devices
    from tinydarknet.evaluation.scoring import classifier_for, evaluate
    from tinydarknet.feed.opening import open_eval_feed
    from tinydarknet.model.checkpoint import build_network, load
    from tinydarknet.model.description import check_classes

    device, notes = devices.set_up(options)
    for note in notes if device.is_first else ():
        print(note)
    checkpoint = load(options.checkpoint_path)
    model = checkpoint.description.model
    check_classes(model.classes, manifest, options.checkpoint_path, options.val_data_path)
    feed = open_eval_feed(
        options.val_data_path,
        batch_size=options.batch_size,
        image_size=options.image_size or model.image_size,
        rank=device.rank,
        world_size=device.world_size,
        normalization=model.normalization,
        feed=options.feed,
    )
    score = evaluate(device, classifier_for(feed, build_network(checkpoint)), feed, manifest.rows)
    if not device.is_first:
        return
    print(score.line())
    for name, hits in (("top-1", score.top1), ("top-5", score.top5)):
        low, high = score.interval(hits)
        print(
            f"{name}: {hits} of {score.total}, {100 * hits / score.total:.2f} % (95 % interval {100 * low:.2f} to {100 * high:.2f})"
        )
    if options.json is not None:
        fields = {
            "top1": score.top1,
            "top5": score.top5,
            "total": score.total,
            **score.accuracies,
            "seconds": round(score.seconds, 3),
            "device_target": device.target,
            "world_size": device.world_size,
            "checkpoint_path": str(options.checkpoint_path),
            "dataset_digest": manifest.logical_digest,
        }
        write_bytes(options.json, (json.dumps(fields, indent=1) + "\n").encode())


def main() -> None:
    """Run the command line."""
    main_single("python -m tinydarknet.evaluate", Command(EvaluateOptions, evaluate_checkpoint))


if __name__ == "__main__":
    main()
