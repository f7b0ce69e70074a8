"""How well `doctor` foretells what a conversion takes: its estimate beside the conversion itself, as commands.

python benchmarks/convert_estimate.py --source IMAGENET/train --copies 8
"""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

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
from benchmarks.instruments.harness import BenchmarkOptions, run_benchmark, spread
from convert.errors import require_positive
from convert.image.encode import Check
from convert.image.encoding import EncodingName

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class ConvertEstimateOptions(BenchmarkOptions):
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

    def __post_init__(self) -> None:
        require_positive(self, "copies", "repeats")


def measure_estimates(options: ConvertEstimateOptions) -> list[dict[str, Any]]:
    """Estimated and real seconds and bytes; doctor's seconds are those of the work, from the start of the workers on."""
    estimated_s, start_s, real_s, estimated_bytes, real_bytes, doctor_s = [], [], [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        source = options.source
        if options.copies > 1:
            source = link_copies(source, Path(folder) / "source" / source.name, options.copies)
        for turn in range(options.repeats):
            output = Path(folder) / f"out-{turn}"
            command = [str(source), str(output), "--encoding", options.encoding, "--check", options.check]
            started = time.monotonic()
            estimate = _output_of("doctor", *command)
            doctor_s.append(time.monotonic() - started)
            estimated_s.append(_number(r"estimate: ([\d,.]+) s", estimate))
            estimated_bytes.append(1e9 * _number(r"([\d,.]+) GB of output", estimate))
            start_s.append(_number(r"\(([\d,.]+) s until", estimate))
            real_s.append(_number(r"images in ([\d,.]+) s with the workers' start", _output_of("run", *command)))
            real_bytes.append(sum(path.stat().st_size for path in output.iterdir()))
    ratios = [estimated / real for estimated, real in zip(estimated_s, real_s, strict=True)]
    byte_ratios = [estimated / real for estimated, real in zip(estimated_bytes, real_bytes, strict=True)]
    return [
        {
            "benchmark": "convert_estimate",
            "estimated_s": estimated_s,
            "estimated_start_s": start_s,
            "real_s": real_s,
            **spread("estimated_over_real", ratios),
            "estimated_bytes_over_real": statistics.median(byte_ratios),
            "doctor_s": statistics.median(doctor_s),
            "repeats": options.repeats,
            "copies": options.copies,
            "encoding": options.encoding,
            "check": options.check,
        }
    ]


def _output_of(command: str, *arguments: str) -> str:
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
    run_benchmark("convert_estimate.py", ConvertEstimateOptions, measure_estimates)


if __name__ == "__main__":
    main()
