"""How fast a split is converted and verified, per core-second of the workers, one encoding after the other.

python benchmarks/convert_rate.py --source IMAGENET/train --json result.json
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import emit
from convert.cli import Command, main_single
from convert.errors import UserError
from convert.images import Check
from convert.manifest import EncodingName


@dataclass(frozen=True)
class ConvertRateOptions:
    """Convert a split to a temporary folder, several times over, and verify it."""

    source: Path
    """A split as 'python -m convert run' takes it."""
    encodings: tuple[EncodingName, ...] = ("yuv420", "original")
    """Which encodings to measure."""
    short_side: int = 256
    """Of the stored images, pixels."""
    check: Check = "decode"
    """How original checks images: decode every one, or only scan its markers."""
    workers: int = 1
    """Worker processes."""
    repeats: int = 3
    """Conversions per encoding; the median counts."""
    json: Path | None = None
    """Write the JSON lines here too."""

    def __post_init__(self) -> None:
        if not self.encodings:
            raise ValueError("encodings needs at least one value")
        for name in ("workers", "repeats"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


def measure_conversions(options: ConvertRateOptions) -> list[dict[str, Any]]:
    """One result per encoding; CPU time is the workers', without their start."""
    return [_measure_encoding(options, encoding) for encoding in options.encodings]


def _measure_encoding(options: ConvertRateOptions, encoding: EncodingName) -> dict[str, Any]:
    from convert.options import RunOptions
    from convert.run import convert_split
    from convert.verify import VerifyOptions, check_dataset

    made, checked = [], []
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        for number in range(options.repeats):
            output = Path(folder) / str(number)
            made.append(
                convert_split(
                    RunOptions(
                        options.source,
                        output,
                        encoding,
                        options.short_side,
                        check=options.check,
                        workers=options.workers,
                    )
                )
            )
            checked.append(check_dataset(VerifyOptions(output, workers=options.workers)))
            if checked[-1].faults:
                raise UserError(f"{output} did not verify: {checked[-1].faults[0]}")
    manifest = made[0].manifest
    rates = [outcome.images / outcome.cpu_s for outcome in made]
    return {
        "benchmark": "convert_rate",
        "encoding": encoding,
        "check": options.check if encoding == "original" else "decode",
        "images_per_core_s": statistics.median(rates),
        "images_per_core_s_min": min(rates),
        "images_per_core_s_max": max(rates),
        "images_per_s_with_start": statistics.median(outcome.images / outcome.wall_s for outcome in made),
        "verify_mb_per_core_s": statistics.median(check.read_bytes / 1e6 / check.cpu_s for check in checked),
        "repeats": options.repeats,
        "rows": manifest.rows,
        "workers": options.workers,
        "short_side": manifest.encoding.short_side,
        "source_bytes_per_image": round(manifest.source_bytes / manifest.rows),
        "stored_bytes_per_image": round(manifest.payload_bytes / manifest.rows),
        "page_cache": "warm",
    }


def main() -> None:
    """Measure and print."""
    main_single(
        "convert_rate.py", Command(ConvertRateOptions, lambda options: emit(measure_conversions(options), options.json))
    )


if __name__ == "__main__":
    main()
