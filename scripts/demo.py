"""The whole path on a built-in sample, by the same commands that ImageNet takes; ends with a table of what was done.

    make demo
    make demo IMAGENET=dir      the same with a small part of the photographs in dir/train, class folders

Everything lands in a new folder, runs/demo-<time>, and stays there to be looked at.
"""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from convert.cli import Command, main_single
from convert.errors import UserError

ACCURACY_WANTED = 0.9
"""Top-1 on the sample, whose classes are easy to tell."""
TIMES_CHANCE_WANTED = 2.0
"""Top-1 on photographs over that of guessing: a thousand of them teach little more in a minute or two."""
CLASSES, TRAIN_IMAGES, VAL_IMAGES = 10, 100, 20
"""How many classes are taken of the user's photographs, and how many images of each."""
IMAGE_SIDE = 64
EPOCHS = 14
RECIPE = (
    *("--image-height", IMAGE_SIDE, "--image-width", IMAGE_SIDE, "--batch-size", 32, "--epoch-size", EPOCHS),
    *("--lr-init", 0.05, "--lr-scheduler", "cosine_annealing", "--T-max", EPOCHS, "--warmup-epochs", 1),
    *("--log-every-steps", 9, "--device-target", "CPU"),
)
"""600 images and two cores need neither 500 epochs nor 224 pixels."""


@dataclass(frozen=True)
class DemoOptions:
    """Convert, train, evaluate, export and time, on a built-in sample or on a few of your photographs."""

    imagenet: Path | None = None
    """A folder whose train/ holds class folders of photographs; linked to, never changed."""


def link_part(source: Path, folder: Path) -> str:
    """Make train/ and val/ in `folder`, of links to the first images of the first classes in `source`/train; in words.

    Both come from train/, no image twice, because ImageNet's own val/ may lie flat.

    Raises:
        UserError: there are not two class folders with enough images.
    """
    few = VAL_IMAGES + 1
    classes = {}
    for wnid in sorted(path for path in (source / "train").glob("*") if path.is_dir()):
        images = sorted(path for path in wnid.iterdir() if path.is_file() and not path.name.startswith("."))
        if len(images) >= few and len(classes) < CLASSES:
            classes[wnid.name] = images[: VAL_IMAGES + TRAIN_IMAGES]
    if len(classes) < 2:
        raise UserError(
            f"{source / 'train'} has fewer than two class folders of at least {few} images: give the folder that holds "
            "ImageNet's train/ with one folder for each class"
        )
    for wnid, images in classes.items():
        for number, image in enumerate(images):
            link = folder / ("val" if number < VAL_IMAGES else "train") / wnid / image.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(image.resolve())
    count = sum(map(len, classes.values()))
    return f"{count - VAL_IMAGES * len(classes)} to train on and {VAL_IMAGES * len(classes)} others of {len(classes)} classes"


@dataclass(frozen=True)
class Row:
    """One line of the closing table."""

    step: str
    outcome: str
    seconds: float


class Demo:
    """Runs the steps one after the other and remembers what each achieved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[Row] = []

    def run(self, step: str, *command: object, outcome: Callable[[str], str]) -> None:
        """Run `python COMMAND`, echoing it; on failure end the demo with its status."""
        words = [str(word) for word in command]
        print(f"\n\033[1m{step}\033[0m\n$ python {shlex.join(words)}", flush=True)
        start = time.perf_counter()
        done = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout, end="", flush=True)
        if done.returncode != 0:
            print(f"error: the demo's step '{step}' ended with status {done.returncode}", file=sys.stderr)
            sys.exit(done.returncode)
        self.rows.append(Row(step, outcome(done.stdout), time.perf_counter() - start))

    def table(self) -> str:
        """All steps with their outcomes and durations."""
        width = max(len(row.step) for row in self.rows)
        lines = [f"{row.step:{width}}  {row.seconds:6.1f} s  {row.outcome}" for row in self.rows]
        total = sum(row.seconds for row in self.rows)
        return "\n".join([*lines, f"{'together':{width}}  {total:6.1f} s  everything is in {self.folder}"])


def demonstrate(options: DemoOptions) -> int:
    """Run the demo; returns the exit status."""
    folder = Path("runs") / f"demo-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
    images, dataset, run, export = (folder / name for name in ("images", "dataset", "run", "export"))
    best = run / "checkpoints" / "best.ckpt"
    demo = Demo(folder)

    if options.imagenet is None:
        demo.run("write sample images", "-m", "convert", "sample", images, outcome=_last_line)
    else:
        demo.rows.append(Row("link photographs", link_part(options.imagenet, images), 0.0))
    for split in ("train", "val"):
        demo.run(
            f"convert {split}", "-m", "convert", "run", images / split, dataset / split,
            outcome=lambda _, split=split: _manifest_in_words(dataset / split),
        )  # fmt: skip
    demo.run("verify", "-m", "convert", "verify", dataset / "train", outcome=_last_line)
    demo.run(
        "train", "-m", "tinydarknet.train", "--data-path", dataset / "train", "--val-data-path", dataset / "val",
        "--run-dir", run, *RECIPE,
        outcome=lambda _: f"{EPOCHS} epochs at {IMAGE_SIDE}x{IMAGE_SIDE} pixels",
    )  # fmt: skip
    demo.run(
        "evaluate", "-m", "tinydarknet.evaluate", "--val-data-path", dataset / "val", "--checkpoint-path", best,
        "--json", folder / "evaluation.json", "--report-dir", run / "evaluation",
        outcome=lambda _: _score_in_words(_load(folder / "evaluation.json")),
    )  # fmt: skip
    demo.run(
        "export", "-m", "tinydarknet.export", "--checkpoint-path", best, "--file-format", "onnx", "mindir",
        "--out-dir", export,
        outcome=_last_line,
    )  # fmt: skip
    picture = min((images / "val").rglob("*.*"))
    demo.run(
        "predict", "-m", "tinydarknet.predict", picture, "--checkpoint-path", best, "--json",
        outcome=lambda _: f"top five classes of {picture.name}",
    )  # fmt: skip
    demo.run(
        "time a step", "benchmarks/step_time.py", "--data", dataset / "train", "--image-size", 96,
        "--json", folder / "step_time.json",
        outcome=lambda _: _load(folder / "step_time.json")["verdict"],
    )  # fmt: skip

    demo.run(
        "draw a sheet", "-m", "tinydarknet.preview", dataset / "train", "--out", run / "sheet.png", outcome=_last_line
    )
    demo.run("report", "-m", "tinydarknet.report", "--runs", run, outcome=_last_line)

    print(f"\n{demo.table()}")
    score = _load(folder / "evaluation.json")
    classes = len(list((images / "train").iterdir()))
    wanted = ACCURACY_WANTED if options.imagenet is None else TIMES_CHANCE_WANTED / classes
    if score["top1"] < wanted * score["total"]:
        print(f"error: top-1 is {score['top1']} of {score['total']}, below {wanted:.0%}", file=sys.stderr)
        return 1
    return 0


def _load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text().splitlines()[0] if path.name == "step_time.json" else path.read_text())


def _last_line(output: str) -> str:
    return output.strip().splitlines()[-1] if output.strip() else "done"


def _manifest_in_words(directory: Path) -> str:
    manifest = _load(directory / "manifest.json")
    return f"{manifest['rows']} images, {len(manifest['shards'])} shards, {manifest['payload_bytes'] / 1e6:.1f} MB"


def _score_in_words(score: dict[str, Any]) -> str:
    return f"top-1 {score['top1']} of {score['total']} ({score['top1'] / score['total']:.1%}), top-5 {score['top5']}"


def main() -> None:
    """Run the command line."""
    main_single("demo.py", Command(DemoOptions, demonstrate))


if __name__ == "__main__":
    main()
