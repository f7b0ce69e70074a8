"""What planning, index and manifest of all of ImageNet take: seconds and memory at the full row count.

    python benchmarks/convert_scale.py

What is generated: one tar of 1,000 class tars with 1,281,167 members, each the same JPEG of 8x8 pixels under a name of
its own. What is measured, each in a process of its own: the command `run` with the work of its shards already done
(listing the source, planning 128 shards, reading their records, publishing index and manifest), the same command on the
finished dataset, `verify --quick`, and `inspect`. The shards are stand-ins: empty files of the right size with a record as a worker
would leave it; no image is converted.
"""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

import multiprocessing
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.instruments.harness import BenchmarkOptions, run_benchmark

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class ConvertScaleOptions(BenchmarkOptions):
    """Generate a source of tiny images and measure what a conversion does besides converting them."""

    images: int = 1_281_167
    """Rows; ImageNet's training split by default."""
    classes: int = 1000
    """Classes, 1 to 1000."""
    folder: Path | None = None
    """Where to put source and dataset (1.4 GB); default: a temporary folder."""

    def __post_init__(self) -> None:
        if not 1 <= self.classes <= 1000:
            raise ValueError(f"classes must be in [1, 1000], got {self.classes}")
        if self.images < self.classes:
            raise ValueError(f"images must be at least the number of classes {self.classes}, got {self.images}")


def measure_scale(options: ConvertScaleOptions) -> list[dict[str, Any]]:
    """Seconds and peak memory of the four commands."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        source, output = Path(folder) / "train.tar", Path(folder) / "dataset"
        # in another process, because Linux counts what this one has held as a peak of its children
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as beside:
            beside.submit(write_source, source, options.images, options.classes).result()
            shards = beside.submit(stand_in_for_workers, source, output).result()
        finish = _timed("run", source, output)
        again = _timed("run", source, output)
        quick = _timed("verify", output, "--quick")
        described = _timed("inspect", output)
        index_bytes = (output / "index.parquet").stat().st_size
    timed = {"finish": finish, "finished_again": again, "verify_quick": quick, "inspect": described}
    costs = {f"{name}_{unit}": value for name, cost in timed.items() for unit, value in cost.items()}
    return [
        {
            "benchmark": "convert_scale",
            "images": options.images,
            "shards": shards,
            **costs,
            "index_bytes": index_bytes,
        }
    ]


def write_source(path: Path, images: int, classes: int) -> None:
    """One tar of class tars as ILSVRC2012_img_train.tar is, of tiny images."""
    from convert.dataset.classes import load_imagenet1k

    data = tiny_jpeg()
    padded = data + bytes(-len(data) % tarfile.BLOCKSIZE)
    with path.open("wb") as stream:
        for label, entry in enumerate(load_imagenet1k()[:classes]):
            count = len(range(label, images, classes))
            inner_bytes = count * (tarfile.BLOCKSIZE + len(padded)) + 2 * tarfile.BLOCKSIZE
            stream.write(_header(f"{entry.wnid}.tar", inner_bytes))
            for number in range(count):
                stream.write(_header(f"{entry.wnid}_{number}.JPEG", len(data)))
                stream.write(padded)
            stream.write(bytes(2 * tarfile.BLOCKSIZE))
        stream.write(bytes(2 * tarfile.BLOCKSIZE))


def tiny_jpeg() -> bytes:
    """A JPEG of 8x8 pixels."""
    import numpy as np
    import simplejpeg

    return simplejpeg.encode_jpeg(np.full((8, 8, 3), 90, np.uint8))


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT)


def stand_in_for_workers(source: Path, output: Path) -> int:
    """Leave what workers would: a record per shard, and files of the size that it names; returns how many shards."""
    from convert.job import staging
    from convert.job.options import RunOptions
    from convert.job.plan import prepare
    from convert.job.staging import write_record

    conversion = prepare(RunOptions(source, output))
    with staging.opened(output, conversion.fingerprint):
        for shard in conversion.plans:
            task = conversion.task(shard, output)
            record = _record(task)
            for name, size in (
                (task.name, record.entry.data_bytes),
                (f"{task.name}.db", record.entry.db_bytes),
            ):
                (output / name).touch()
                os.truncate(output / name, size)
            write_record(output, shard.index, record)
    return len(conversion.plans)


def _record(task: Any) -> Any:
    """The record of a shard of planes of 8x8 pixels that was never made."""
    import numpy as np
    import pyarrow as pa

    from convert.dataset.index import INDEX_SCHEMA
    from convert.dataset.manifest import ShardEntry
    from convert.job.staging import ShardRecord

    rows, payload = task.items.num_rows, 96
    sides = np.full(rows, 8)
    offsets = task.layout.header_bytes + task.layout.page_bytes + 8 + np.arange(rows) * (payload + 8)
    columns = {
        "id": task.first_id + np.arange(rows),
        "key": task.items.column("key"),
        "label": task.items.column("label"),
        "shard": np.full(rows, task.index),
        "offset": offsets,
        "length": np.full(rows, payload),
        "height": sides,
        "width": sides,
        "source_bytes": task.items.column("length"),
        "crc32": np.random.default_rng(task.index).integers(1 << 32, size=rows),
        "action": ["encoded"] * rows,
        "reason": [""] * rows,
    }
    entry = ShardEntry(task.name, rows, int(offsets[-1]) + payload, "0" * 64, rows * 100, "0" * 64)
    return ShardRecord(entry, pa.table(columns).cast(INDEX_SCHEMA), ())


def _timed(command: str, *arguments: Any) -> dict[str, float]:
    """Seconds on the clock and of CPU time, and peak memory, of one command in a process of its own."""
    program = [sys.executable, "-m", "convert", command, *map(str, arguments)]
    started = time.monotonic()
    process = subprocess.Popen(program, stdout=sys.stderr, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    if os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError(f"{' '.join(program)} failed")
    return {"s": seconds, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss * 1024 / 1e6}


def main() -> None:
    """Measure and print."""
    run_benchmark("convert_scale.py", ConvertScaleOptions, measure_scale)


if __name__ == "__main__":
    main()
