"""How the training tests make pictures, datasets and configurations."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import processes

from benchmarks.instruments.ports import free_port
from tinydarknet.config import TrainConfig

REPOSITORY = processes.ROOT
WNIDS = ("n01440764", "n01443537", "n01484850")
IMAGES_PER_CLASS = 9
SIZE = 32


def run_module(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m ...` as a person would, in a folder of its own."""
    return processes.run([sys.executable, "-m", *arguments], cwd)


def graphs_kept_in(folder: Path) -> dict[str, str]:
    """Variables by which MindSpore compiles a graph once for all processes; only for runs with the same options.

    A graph is known by the files of its cells and its place among the graphs of a process, not by its constants.
    """
    return {"MS_COMPILER_CACHE_ENABLE": "1", "MS_COMPILER_CACHE_PATH": str(folder)}


@contextmanager
def endless_launch(planes_data: Path, folder: Path) -> Iterator[processes.Program]:
    """A launcher of two ranks in `folder` that trains far longer than any test."""
    command = [
        sys.executable, "-m", "tinydarknet.launch", "--ranks", 2, "--master-port", free_port(), "--log-dir", folder / "ranks", "--",
        "--data-path", planes_data, "--run-dir", folder / "run", "--device-target", "CPU", "--batch-size", 4,
        "--image-height", SIZE, "--image-width", SIZE, "--epoch-size", 100_000, "--checkpoint-every-steps", 1_000_000,
    ]  # fmt: skip
    with processes.running(command, folder, **graphs_kept_in(planes_data.with_name("launched-graphs"))) as program:
        yield program


def draw_image(label: int, index: int) -> np.ndarray:
    """A 48x40 image whose texture tells its class and whose brightness tells its index."""
    rng = np.random.default_rng((label, index))
    cells = rng.integers(0, 256, (2 + 4 * label, 2 + 4 * label, 3), dtype=np.uint8)
    return cv2.resize(cells, (48, 40), interpolation=cv2.INTER_NEAREST)


def write_images(folder: Path, wnids: tuple[str, ...], per_class: int) -> Path:
    """Class folders of JPEG files."""
    for label, wnid in enumerate(wnids):
        (folder / wnid).mkdir(parents=True)
        for index in range(per_class):
            cv2.imwrite(str(folder / wnid / f"{wnid}_{index}.JPEG"), draw_image(label, index))
    return folder


def convert(source: Path, output: Path, *options: str) -> Path:
    result = run_module("convert", "run", source, output, "--workers", "1", *options, cwd=output.parent)
    assert result.returncode == 0, result.stderr
    return output


def tiny_config(data: Path, run_dir: Path, **changes) -> TrainConfig:
    """27 images in batches of 8: 3 steps an epoch, 3 images left over; 3 epochs."""
    base = TrainConfig(
        data_path=data, run_dir=run_dir, device_target="CPU", batch_size=8, image_height=SIZE, image_width=SIZE,
        epoch_size=3, lr_init=0.02, lr_epochs=(2,), warmup_epochs=1, seed=5,
    )  # fmt: skip
    return dataclasses.replace(base, **changes)


def scored_hits(data: Path, checkpoint: Path, folder: Path) -> tuple[int, int]:
    """Top-1 and top-5 hits that the evaluation command counts for a checkpoint file."""
    from tinydarknet.evaluate.__main__ import EvaluateOptions, evaluate_checkpoint

    counts = folder / "counts.json"
    evaluate_checkpoint(
        EvaluateOptions(val_data_path=data, checkpoint_path=checkpoint, device_target="CPU", json=counts)
    )
    scored = json.loads(counts.read_text())
    return scored["top1"], scored["top5"]
