"""How fast a split is converted and verified, per core-second of the workers, one encoding after the other.

python benchmarks/convert_rate.py --source IMAGENET/train --json result.json

A shard of ImageNet holds 10,010 images. `run` would cut a few hundred into shards of 64, whose fixed cost (a page that
MindRecord leaves empty, six syncs) is another thing: so shards hold 1,000 here, and each image of a small split is linked
into it several times.
"""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

import contextlib
import itertools
import math
import os
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.instruments.harness import BenchmarkOptions, run_benchmark, spread
from benchmarks.instruments.loop import loops_per_s
from convert.errors import UserError, require_at_least, require_positive, require_some
from convert.image.encode import Check
from convert.image.encoding import EncodingName

_LOOP_SECONDS = 2.0
_IMAGES_MIN = 2000


@dataclass(frozen=True)
class ConvertRateOptions(BenchmarkOptions):
    """Convert a split to a temporary folder, several times over, and verify it."""

    source: Path
    """A split as 'python -m convert run' takes it; with several copies, class folders."""
    encodings: tuple[EncodingName, ...] = ("yuv420", "original")
    """Which encodings to measure."""
    short_side: int = 256
    """Of the stored images, pixels."""
    check: Check = "decode"
    """How original checks images: decode every one, or only scan its markers."""
    copies: int = 0
    """So many links to each image make up the split; 0: of class folders, as many as make 2,000 images."""
    shard_rows: int = 1000
    """Images per shard; 0: as run chooses, which for a few hundred images is 64."""
    workers: int = 1
    """Worker processes."""
    scaling: bool = False
    """Measure one worker and `workers` in turn, beside as many copies of an independent compute loop."""
    repeats: int = 3
    """Conversions per encoding; the median counts."""

    def __post_init__(self) -> None:
        require_some(self, "encodings")
        require_positive(self, "workers", "repeats")
        require_at_least(self, 0, "copies")
        if self.scaling and self.workers < 2:
            raise ValueError(f"scaling needs at least 2 workers, got {self.workers}")


def measure_conversions(options: ConvertRateOptions) -> list[dict[str, Any]]:
    """One result per encoding; CPU time is the workers', without their start."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        options = replace(options, copies=options.copies or enough_copies(options.source))
        if options.copies > 1:
            linked = link_copies(options.source, Path(folder) / "source" / options.source.name, options.copies)
            options = replace(options, source=linked)
        measure = _measure_scaling if options.scaling else _measure_encoding
        return [measure(options, encoding, Path(folder)) for encoding in options.encodings]


def enough_copies(source: Path) -> int:
    """How often each image of class folders has to be taken to make 2,000; 1 where there are no such folders."""
    images = sum(1 for _ in itertools.islice(source.glob("*/*"), _IMAGES_MIN))
    return math.ceil(_IMAGES_MIN / images) if images else 1


def link_copies(source: Path, target: Path, copies: int) -> Path:
    """Class folders in which each image of `source` has so many names; takes the disk space of one copy."""
    for path in sorted(source.glob("*/*")):
        folder = target / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        first = folder / f"{path.stem}_0{path.suffix}"
        shutil.copyfile(path, first)
        for number in range(1, copies):
            os.link(first, folder / f"{path.stem}_{number}{path.suffix}")
    return target


def _measure_encoding(options: ConvertRateOptions, encoding: EncodingName, folder: Path) -> dict[str, Any]:
    from convert.verify import VerifyOptions, check_dataset

    made, checked = [], []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory(dir=folder) as output:
            made.append(_convert(options, encoding, Path(output), options.workers))
            checked.append(check_dataset(VerifyOptions(Path(output), workers=options.workers)))
            if checked[-1].faults:
                raise UserError(f"{output} did not verify: {checked[-1].faults[0]}")
    rates = [outcome.images / outcome.cost.cpu_s for outcome in made]
    return {
        **_described(options, made[0].manifest),
        **spread("images_per_core_s", rates),
        "images_per_s_with_start": statistics.median(outcome.images / outcome.wall_s for outcome in made),
        "worker_memory_mb_max": max(outcome.cost.worker_bytes for outcome in made) / 1e6,
        "verify_mb_per_core_s": statistics.median(check.read_bytes / 1e6 / check.cpu_s for check in checked),
    }


def _measure_scaling(options: ConvertRateOptions, encoding: EncodingName, folder: Path) -> dict[str, Any]:
    """Images per second of one worker and of several, without their start; conversions and loops take turns."""
    counts = (1, options.workers)
    rates: dict[int, list[float]] = {count: [] for count in counts}
    loops: dict[int, list[float]] = {count: [] for count in counts}
    manifest = None
    for _ in range(options.repeats):
        for count in counts:
            with tempfile.TemporaryDirectory(dir=folder) as output:
                outcome = _convert(options, encoding, Path(output), count)
            manifest = outcome.manifest
            rates[count].append(count * outcome.images / outcome.cost.busy_s)
            loops[count].append(loops_per_s(count, _LOOP_SECONDS))
    assert manifest is not None
    speedups = [several / one for one, several in zip(*rates.values(), strict=True)]
    loop_speedups = [several / one for one, several in zip(*loops.values(), strict=True)]
    over_loop = [speedup / loop for speedup, loop in zip(speedups, loop_speedups, strict=True)]
    return {
        **_described(options, manifest),
        "benchmark": "convert_scaling",
        "images_per_s": statistics.median(rates[options.workers]),
        "images_per_s_one_worker": statistics.median(rates[1]),
        "speedup": statistics.median(speedups),
        "loop_speedup": statistics.median(loop_speedups),
        **spread("speedup_over_loop", over_loop),
    }


def _convert(options: ConvertRateOptions, encoding: EncodingName, output: Path, workers: int) -> Any:
    from convert.job.conversion import convert_split
    from convert.job.options import RunOptions

    wanted = {"check": options.check, "shard_rows": options.shard_rows, "workers": workers}
    return convert_split(RunOptions(options.source, output, encoding, options.short_side, **wanted))


def _described(options: ConvertRateOptions, manifest: Any) -> dict[str, Any]:
    return {
        "benchmark": "convert_rate",
        "encoding": manifest.encoding.name,
        "check": options.check if manifest.encoding.name == "original" else "decode",
        "repeats": options.repeats,
        "rows": manifest.rows,
        "copies": options.copies,
        "shards": len(manifest.shards),
        "workers": options.workers,
        "short_side": manifest.encoding.short_side,
        "source_bytes_per_image": round(manifest.source_bytes / manifest.rows),
        "stored_bytes_per_image": round(manifest.payload_bytes / manifest.rows),
        "page_cache": "warm",
    }


def main() -> None:
    """Measure and print."""
    run_benchmark("convert_rate.py", ConvertRateOptions, measure_conversions)


if __name__ == "__main__":
    main()
