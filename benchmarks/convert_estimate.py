"""How well `doctor` foretells what a conversion takes: its estimate beside the conversion itself, as commands.

python benchmarks/convert_estimate.py --source IMAGENET/train --copies 8
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.convert_rate import link_copies
from benchmarks.instruments.harness import emit
from convert.cli import Command, main_single
from convert.image.encode import Check
from convert.image.encoding import EncodingName

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class ConvertEstimateOptions:
    """Ask doctor, then convert, several times in turn."""

    source: Path
    """A split of class folders."""
    encoding: EncodingName = "yuv420"
    """Of the conversion."""
    check: Check = "decode"
    """How original checks images."""
    copies: int = 1
    """So many links to each image make up the split."""
    repeats: int = 3
    """Turns; the median error counts."""
    json: Path | None = None
    """Write the JSON line here too."""

    def __post_init__(self) -> None:
        for name in ("copies", "repeats"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


def measure_estimates(options: ConvertEstimateOptions) -> dict[str, Any]:
    """Estimated and real seconds and bytes; doctor's seconds are those of the work, from the start of the workers on."""
    estimated_s, start_s, real_s, estimated_bytes, real_bytes, doctor_s = [], [], [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        source = options.source
        if options.copies > 1:
            source = link_copies(source, Path(folder) / "source" / source.name, options.copies)
        for turn in range(options.repeats):
            command = [
                str(source),
                str(Path(folder) / f"out-{turn}"),
                "--encoding",
                options.encoding,
                "--check",
                options.check,
            ]
            started = time.monotonic()
            said = _said("doctor", *command)
            doctor_s.append(time.monotonic() - started)
            estimated_s.append(_number(r"estimate: ([\d,.]+) s", said))
            estimated_bytes.append(1e9 * _number(r"([\d,.]+) GB of output", said))
            start_s.append(_number(r"\(([\d,.]+) s until", said))
            real_s.append(_number(r"images in ([\d,.]+) s with the workers' start", _said("run", *command)))
            real_bytes.append(sum(path.stat().st_size for path in Path(command[1]).iterdir()))
    ratios = [estimated / real for estimated, real in zip(estimated_s, real_s, strict=True)]
    return {
        "benchmark": "convert_estimate",
        "estimated_s": estimated_s,
        "estimated_start_s": start_s,
        "real_s": real_s,
        "estimated_over_real": statistics.median(ratios),
        "estimated_over_real_min": min(ratios),
        "estimated_over_real_max": max(ratios),
        "estimated_bytes_over_real": statistics.median(
            estimated / real for estimated, real in zip(estimated_bytes, real_bytes, strict=True)
        ),
        "doctor_s": statistics.median(doctor_s),
        "repeats": options.repeats,
        "copies": options.copies,
        "encoding": options.encoding,
        "check": options.check,
    }


def _said(command: str, *arguments: str) -> str:
    program = [sys.executable, "-m", "convert", command, *arguments]
    finished = subprocess.run(program, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if "estimate:" not in finished.stdout and finished.returncode != 0:
        raise RuntimeError(f"{' '.join(program)} failed")
    return finished.stdout


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"{pattern!r} is not in {text!r}")
    return float(found.group(1).replace(",", ""))


def main() -> None:
    """Measure and print."""
    main_single(
        "convert_estimate.py",
        Command(ConvertEstimateOptions, lambda options: emit([measure_estimates(options)], options.json)),
    )


if __name__ == "__main__":
    main()
