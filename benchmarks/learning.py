"""Does a network learn from the feed as it does from others? Trains from scratch: several feeds, several seeds, one recipe.

    python benchmarks/learning.py --source IMAGENETTE --json data/learning/results.jsonl
    python benchmarks/learning.py --source IMAGENETTE --json ... --image-size 128 --seeds 1 --feeds planes torch

One JSON line for every epoch of every run, as soon as it has been evaluated. Started again, it goes on: a run whose last
epoch is in the file is left out; one that was cut off goes on from its checkpoint, PyTorch's begins again.
"""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

import contextlib
import dataclasses
import json
import os
import queue
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.instruments.harness import environment
from benchmarks.reporting.results import Result
from convert.cli import Command, main_single
from convert.errors import UserError, require_at_least
from convert.processors import allowed_processors
from convert.signals import handled, stopping

if TYPE_CHECKING:
    from tinydarknet.config import TrainConfig

LearningFeed = Literal["planes", "jpeg", "original", "reference", "torch"]
ENCODINGS: dict[LearningFeed, tuple[str, str]] = {
    "planes": ("planes", "yuv420"),
    "jpeg": ("host", "jpeg"),
    "original": ("host", "original"),
    "reference": ("reference", "original"),
}
"""This project's feeds: the feed of training, and the encoding that it reads."""

_ROOT = Path(__file__).resolve().parents[1]
_SPLITS = ("train", "val")
_POLL_S = 1.0


@dataclass(frozen=True, kw_only=True)
class LearningOptions:
    """Train Tiny-DarkNet from scratch from several feeds, with one recipe and the same seeds."""

    source: Path
    """A folder with train/ and val/, each of class folders of JPEG files."""
    json: Path
    """The results: lines are added, what is there is not measured again."""
    folder: Path = Path("data/learning")
    """For the converted datasets and the run folders."""
    feeds: tuple[LearningFeed, ...] = ("planes", "jpeg", "reference", "torch")
    """planes, jpeg and original: this project's, by encoding; reference: MindSpore's own operators on the original files; torch: the same network
    and recipe in PyTorch, with torchvision's transforms."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Of weights, order and augmentation."""
    recipe: str = "imagenette"
    """Whose options all runs take, but for those that follow."""
    image_size: int = 64
    """Pixels, in training and evaluation."""
    options: str = ""
    """Further options of training, which win over the recipe's, such as "--epoch-size 3"; part of a result's identity."""
    jobs: int = 1
    """Runs at once, each kept to its own share of the processors."""
    environment: Path = Path(".venv-peers")
    """Where PyTorch is installed: make bench-peers makes it."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "seeds")
        require_at_least(self, 1, "jobs")
        if self.jobs > len(allowed_processors()):
            raise ValueError(f"jobs must be at most the processors, {len(allowed_processors())}, got {self.jobs}")


@dataclass(frozen=True)
class Training:
    """One run: a feed, a seed, and the options of all."""

    options: LearningOptions
    feed: LearningFeed
    seed: int

    @cached_property
    def config(self) -> TrainConfig:
        """What this project trains with, and PyTorch too."""
        import tyro

        from tinydarknet.config import TrainConfig
        from tinydarknet.config_file import expand

        return tyro.cli(TrainConfig, args=expand(self.words, TrainConfig))

    @property
    def words(self) -> list[str]:
        """The options on the command line of tinydarknet.train."""
        options, (feed, encoding) = self.options, ENCODINGS.get(self.feed, ENCODINGS["planes"])
        side, data = options.image_size, options.folder / encoding
        words = (
            *(
                "--config-path",
                f"recipe:{options.recipe}",
                "--device-target",
                "CPU",
                "--feed",
                feed,
                "--seed",
                self.seed,
            ),
            *("--data-path", data / "train", "--val-data-path", data / "val", "--run-dir", self.folder),
            *("--image-height", side, "--image-width", side, *options.options.split()),
        )
        return [str(word) for word in words]

    @property
    def folder(self) -> Path:
        """The run's own."""
        options = self.options
        marks = (self.feed, f"seed{self.seed}", options.recipe, f"{options.image_size}px")
        return options.folder / "runs" / "-".join((*marks, *options.options.replace("-", " ").split()))

    @property
    def identity(self) -> dict[str, Any]:
        """What its results say of it."""
        config = self.config
        facts = {"feed": self.feed, "seed": self.seed, "image_size": config.image_height}
        facts |= {"batch_size": config.batch_size, "epochs": config.epoch_size, "recipe": self.options.recipe}
        return {**facts, "lr_init": config.lr_init, "options": self.options.options}

    def command(self, threads: int) -> list[str]:
        """What trains: this project's own command, or the same in PyTorch; goes on where there is something to go on from."""
        if self.feed == "torch":
            order = self.folder / "order.json"
            order.write_text(json.dumps(self._order(threads)))
            python = str(self.options.environment / "bin" / "python")
            return [python, "-m", "benchmarks.peer_loaders.torch_training", str(order)]
        resume = ["--resume"] if (self.folder / "config.json").exists() else []
        return [sys.executable, "-m", "tinydarknet.train", *self.words, *resume]

    def _order(self, threads: int) -> dict[str, Any]:
        """benchmarks.peer_loaders.torch_training.Order's fields."""
        from tinydarknet.train.schedule import learning_rates

        config, source = self.config, self.options.source.resolve()
        steps = sum(1 for _ in (source / "train").glob("*/*")) // config.batch_size
        same = ("batch_size", "seed", "momentum", "nesterov", "weight_decay", "variant")
        return {
            **{name: getattr(config, name) for name in same},
            **{split: str(source / split) for split in _SPLITS},
            "run": str(self.folder.resolve()),
            "image_size": config.image_height,
            "rates": learning_rates(config, steps).tolist(),
            "epochs": config.epoch_size,
            "smoothing": config.label_smooth_factor if config.use_label_smooth else 0.0,
            "augmentation": dataclasses.asdict(config.augmentation),
            "mean": config.normalization.mean,
            "std": config.normalization.std,
            "workers": threads,
            "threads": threads,
        }


@dataclass(frozen=True)
class _Mark:
    """One event of a log, with the time since the event before it."""

    event: Mapping[str, Any]
    wall_s: float
    cpu_s: float
    workers_cpu_s: float
    """The part of other processes that make batches."""

    def is_of(self, kind: str) -> bool:
        return self.event["event"] == kind


_CLOCKS = ("unix_time_s", "process_cpu_s", "workers_cpu_s")


def epochs_in(log: Path) -> list[dict[str, Any]]:
    """What a run's log.jsonl says of every epoch that has been evaluated, in order.

    wall_s and cpu_s are those of the epoch's steps, the first epoch's with the compilation, workers_cpu_s the part of other
    processes that make batches (PyTorch's; this project's feeds are threads); eval_* of the evaluation;
    elapsed_* of all since the training began. What a resumed run did again counts once, a pause between not at all.
    """
    marks: list[_Mark] = []
    previous: Mapping[str, Any] = {}
    per_epoch, toolkit = 0, ""
    for event in _events(log):
        if event["event"] == "start":
            per_epoch, toolkit = event["steps_per_epoch"], event.get("toolkit", "")
            marks = [mark for mark in marks if mark.event["step"] <= event["step"]]
        elif event["event"] != "end":
            spent = (event.get(name, 0.0) - previous.get(name, 0.0) for name in _CLOCKS)
            marks.append(_Mark(event, *spent))
        previous = event
    ends = [place for place, mark in enumerate(marks) if mark.is_of("evaluation")]
    epochs = []
    for begin, end in zip([0, *(end + 1 for end in ends)], ends, strict=False):
        evaluation, training = marks[end], [mark for mark in marks[begin:end] if not mark.is_of("checkpoint")]
        steps = [mark.event for mark in training if mark.is_of("step")]
        so_far = marks[: end + 1]
        epochs.append({
            "epoch": evaluation.event["step"] // per_epoch,
            **{name: evaluation.event[name] for name in ("top1", "top5", "total")},
            "top_1_accuracy": evaluation.event["top1"] / evaluation.event["total"],
            "top_5_accuracy": evaluation.event["top5"] / evaluation.event["total"],
            "loss": statistics.fmean(step["loss"] for step in steps),
            "wall_s": sum(mark.wall_s for mark in training),
            "cpu_s": sum(mark.cpu_s for mark in training),
            "workers_cpu_s": sum(mark.workers_cpu_s for mark in training),
            "eval_wall_s": evaluation.wall_s,
            "eval_cpu_s": evaluation.cpu_s,
            "elapsed_wall_s": sum(mark.wall_s for mark in so_far),
            "elapsed_cpu_s": sum(mark.cpu_s for mark in so_far),
            "waiting_share": steps[-1]["waiting_share"],
            "toolkit": toolkit,
        })  # fmt: skip
    return epochs


def _events(log: Path) -> Iterator[dict[str, Any]]:
    """The whole events of a log; the last line may be half written."""
    if log.exists():
        for line in log.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                yield json.loads(line)


class Results:
    """The file of results: what is in it, and adding to it, from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self._there = {self._key(json.loads(line)) for line in lines}

    @staticmethod
    def _key(result: Result) -> tuple[Any, ...]:
        names = ("feed", "seed", "image_size", "batch_size", "epochs", "recipe", "options", "epoch")
        return tuple(result[name] for name in names)

    def holds_last_epoch(self, run: Mapping[str, Any]) -> bool:
        """Whether a run is complete."""
        return self._key({**run, "epoch": run["epochs"]}) in self._there

    def add(self, results: Sequence[Result]) -> None:
        """Append and print those that are new, with the environment."""
        with self._lock:
            new = [result for result in results if self._key(result) not in self._there]
            if not new:
                return
            where = environment()
            text = "".join(json.dumps({**result, "environment": where}) + "\n" for result in new)
            with self._path.open("a") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            self._there |= {self._key(result) for result in new}
            print(text, end="", flush=True)


def learn(options: LearningOptions) -> None:
    """Carry out all runs that are not in the file yet, seed by seed.

    Raises:
        UserError: a run ended with an error; the others have been carried out.
    """
    results = Results(options.json)
    runs = [Training(options, feed, seed) for seed in options.seeds for feed in options.feeds]
    runs = [run for run in runs if not results.holds_last_epoch(run.identity)]
    if any(run.feed == "torch" for run in runs) and not (options.environment / "bin" / "python").exists():
        raise UserError(f"{options.environment} has no PyTorch in it: 'make bench-peers' installs it")
    for encoding in {ENCODINGS[run.feed][1] for run in runs if run.feed in ENCODINGS}:
        _convert(options, encoding)
    shares: queue.Queue[frozenset[int]] = queue.Queue()
    processors = sorted(allowed_processors())
    for job in range(options.jobs):
        shares.put(frozenset(processors[job :: options.jobs]))
    stop = threading.Event()
    with (
        handled(stopping(), lambda *_: stop.set()),
        ThreadPoolExecutor(options.jobs, initializer=lambda: os.sched_setaffinity(0, shares.get())) as threads,
    ):
        failures = [failure for failure in threads.map(lambda run: _carry_out(run, results, stop), runs) if failure]
    if stop.is_set():
        raise UserError("stopped: the same command goes on")
    if failures:
        raise UserError("; ".join(failures))


def _convert(options: LearningOptions, encoding: str) -> None:
    from convert.job.conversion import convert_split
    from convert.job.options import RunOptions

    for split in _SPLITS:
        output = options.folder / encoding / split
        if not (output / "manifest.json").exists():
            with contextlib.redirect_stdout(sys.stderr):
                convert_split(RunOptions(options.source / split, output, encoding))  # type: ignore[arg-type]


def _carry_out(run: Training, results: Results, stop: threading.Event) -> str:
    """Train, and add the epochs as they come; why it failed, or nothing. The process keeps to this thread's processors."""
    if stop.is_set():
        return ""
    run.folder.mkdir(parents=True, exist_ok=True)
    threads = len(os.sched_getaffinity(0))
    output = run.folder / "output.txt"
    with output.open("a") as stream:
        process = subprocess.Popen(
            run.command(threads), stdout=stream, stderr=stream, env={**os.environ, "PYTHONPATH": str(_ROOT)}
        )
    shared = {"benchmark": "learning", **run.identity, "threads": threads}
    running = True
    while running:
        try:
            process.wait(timeout=_POLL_S)
            running = False
        except subprocess.TimeoutExpired:
            if stop.is_set():
                process.terminate()
        results.add([{**shared, **epoch} for epoch in epochs_in(run.folder / "log.jsonl")])
    if process.returncode and not stop.is_set():
        return f"{run.folder.name} ended with status {process.returncode}: see {output}"
    return ""


def main() -> None:
    """Train and write."""
    main_single("learning.py", Command(LearningOptions, learn))


if __name__ == "__main__":
    main()
