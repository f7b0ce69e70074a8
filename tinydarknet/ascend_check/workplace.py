"""What the checks share: a folder, a small dataset, and processes of their own, because a device is chosen once in each."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

from convert.dataset import Dataset
from tinydarknet.ascend import Card
from tinydarknet.ascend_check.findings import CheckError

IMAGES = 166
"""Of the sample's training split: 20 steps of 8, and some left over."""
BATCH = 8
STEPS_PER_EPOCH = 20
SIZE = 32
"""Side of the sample's images in training, pixels."""
_OUTPUT_LINES = 12
_DAMAGED_ROW = 3


@dataclass(frozen=True)
class Workplace:
    """Where the checks run, and on what."""

    folder: Path
    cards: tuple[Card, ...]
    """Of this host; empty: all runs on the CPU."""
    data: Path | None = None
    """The owner's training split for the measurements; the sample if None."""
    val_data: Path | None = None
    memory: dict[str, list[int]] = field(default_factory=dict)
    """Bytes, by run, see `memory_watched`."""

    @property
    def target(self) -> str:
        """Ascend or CPU."""
        return "Ascend" if self.cards else "CPU"

    def run(self, *words: object, timeout_s: float = 1800, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run this Python with `words` in the folder.

        Raises:
            CheckError: it ended with a status, where that is checked, or not in time.
        """
        command = [sys.executable, *map(str, words)]
        name = " ".join(command[2:4]) if words[0] == "-m" else "the launcher"
        try:
            done = subprocess.run(
                command, cwd=self.folder, capture_output=True, text=True, errors="replace", timeout=timeout_s,
                check=False, env=self.environment,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise CheckError(f"{name} did not end in {timeout_s:.0f} s", "see its log") from error
        if check and done.returncode:
            said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_OUTPUT_LINES:])
            raise CheckError(f"{name} ended with {done.returncode}: {said}", "see the lines above")
        return done

    @property
    def environment(self) -> dict[str, str]:
        """Of those processes: they find this package from any folder."""
        root = str(Path(__file__).resolve().parents[2])
        return {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}

    @cached_property
    def tree(self) -> Path:
        """Class folders of the built-in sample, train and val."""
        self.run("-m", "convert", "sample", "sample", "--classes", 3, "--images", IMAGES)
        return self.folder / "sample"

    @cached_property
    def sample(self) -> Path:
        """The sample's training split, as planes."""
        return self._converted("train", "yuv420")

    @cached_property
    def val_sample(self) -> Path:
        """The sample's validation split, as planes."""
        return self._converted("val", "yuv420")

    @cached_property
    def jpegs(self) -> Path:
        """500 drawn JPEGs as they are stored: some SIZE x SIZE, some too small for the card, some with whole chroma."""
        rng, folder, output = np.random.default_rng(0), self.folder / "jpegs" / "drawn", self.folder / "jpegs-original"
        folder.mkdir(parents=True)
        for number in range(500):
            low, high = ((SIZE, SIZE + 1), (8, SIZE), (SIZE + 1, 500), (SIZE + 1, 500))[number % 4]
            coarse = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
            picture = cv2.resize(coarse, tuple(rng.integers(low, high, 2).tolist()), interpolation=cv2.INTER_CUBIC)
            sampling = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)[number % 8 == 7]
            options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
            if not cv2.imwrite(str(folder / f"{number:03d}.jpg"), picture, options):
                raise OSError(f"cannot write into {folder}")
        self.run("-m", "convert", "run", folder.parent, output, "--encoding", "original")
        return output

    @cached_property
    def damaged(self) -> Path:
        """A copy of `sample` in which some bytes of a row are lost."""
        copy = self.folder / "damaged"
        shutil.copytree(self.sample, copy)
        records = Dataset(copy, map_shards=False)
        shard = records.manifest.shards[records.column("shard")[_DAMAGED_ROW]].name
        with (copy / shard).open("r+b") as stream:
            stream.seek(records.column("offset")[_DAMAGED_ROW])
            stream.write(bytes(64))
        return copy

    def _converted(self, split: str, encoding: str) -> Path:
        output = self.folder / f"{split}-{encoding}"
        self.run("-m", "convert", "run", self.tree / split, output, "--encoding", encoding, "--short-side", 64)
        return output

    def training_options(self, name: str, *options: object, data: Path | None = None) -> list[object]:
        """The options of a small training run in the folder `name`."""
        own = (
            "--data-path", data or self.sample, "--run-dir", self.folder / name, "--device-target", self.target,
            "--batch-size", BATCH, "--image-height", SIZE, "--image-width", SIZE, "--lr-init", 0.02,
        )  # fmt: skip
        return [*own, *options]

    def train(
        self, name: str, *options: object, data: Path | None = None, **run: Any
    ) -> subprocess.CompletedProcess[str]:
        """Train on the sample into the folder `name`."""
        return self.run("-m", "tinydarknet.train", *self.training_options(name, *options, data=data), **run)

    def log(self, name: str, event: str) -> list[dict[str, Any]]:
        """The events of one kind that a run has logged."""
        lines = (self.folder / name / "log.jsonl").read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if entry["event"] == event]

    @cached_property
    def run_of_two_epochs(self) -> str:
        """The name of a run of two epochs that is evaluated."""
        with self.memory_watched("two-epochs"):
            self.train("two-epochs", "--epoch-size", 2, "--val-data-path", self.val_sample)
        return "two-epochs"

    @contextlib.contextmanager
    def memory_watched(self, name: str) -> Iterator[None]:
        """Note in `memory` what all processes that run here take while the run `name` is in its second epoch."""
        ended, noted = threading.Event(), self.memory.setdefault(name, [])
        log = self.folder / name / "log.jsonl"

        def watch() -> None:
            while not ended.wait(0.1):
                if log.is_file() and log.read_text(errors="replace").count('"event": "checkpoint"') == 1:
                    noted.append(sum(map(_anonymous_bytes, psutil.Process().children(recursive=True))))

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield
        finally:
            ended.set()
            watching.join()

    @property
    def best(self) -> Path:
        """Its checkpoint."""
        return self.folder / self.run_of_two_epochs / "checkpoints" / "best.ckpt"

    def probe(self, name: str, target: str | None = None, *words: object, device_id: int = 0) -> dict[str, Any]:
        """What `probe.py` finds on one device.

        Raises:
            CheckError: it failed.
        """
        output = self.folder / f"{name}-{target or self.target}-{device_id}.json"
        self.run("-m", "tinydarknet.ascend_check.probe", name, output, target or self.target, device_id, *words)
        return json.loads(output.read_text())

    def launch(self, ranks: int, log_dir: str, words: Sequence[object], program: str = "") -> list[str]:
        """The command that starts ranks."""
        command: list[object] = ["-m", "tinydarknet.launch", "--ranks", ranks, "--log-dir", self.folder / log_dir]
        return [str(word) for word in (*command, *([program] if program else []), "--", *words)]


def _anonymous_bytes(process: psutil.Process) -> int:
    """Memory of a process's own, without the mapped shards; 0 once it has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")), 0)
