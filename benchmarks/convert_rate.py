"""How fast a split is converted and verified, per second and per core-second, one encoding after the other.

python benchmarks/convert_rate.py --source IMAGENET/train --json result.json
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import emit, measure
from convert.cli import Command, main_single
from convert.errors import UserError
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
    """One result per encoding; CPU time is that of the workers too."""
    return [_measure_encoding(options, encoding) for encoding in options.encodings]


def _measure_encoding(options: ConvertRateOptions, encoding: EncodingName) -> dict[str, Any]:
    from convert.manifest import load_manifest
    from convert.options import RunOptions
    from convert.run import run
    from convert.verify import VerifyOptions, verify

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        outputs = iter(Path(folder) / str(number) for number in range(options.repeats + 1))

        def convert() -> None:
            output = next(outputs)
            if run(RunOptions(options.source, output, encoding, options.short_side, workers=options.workers)):
                raise UserError(f"{options.source} could not be converted")

        def check() -> None:
            if verify(VerifyOptions(Path(folder) / "0")):
                raise UserError(f"{folder}/0 did not verify")

        converting = measure(convert, repeats=options.repeats)
        manifest = load_manifest(Path(folder) / "0")
        verifying = measure(check, repeats=options.repeats)
    stored_mb = sum(shard.data_bytes for shard in manifest.shards) / 1e6
    return {
        "benchmark": "convert_rate",
        "encoding": encoding,
        "images_per_core_s": manifest.rows / converting.median_cpu_s,
        "images_per_s": manifest.rows / converting.median_wall_s,
        "verify_mb_per_core_s": stored_mb / verifying.median_cpu_s,
        "verify_mb_per_s": stored_mb / verifying.median_wall_s,
        **converting.spread(),
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
