"""What it costs to open ImageNet: time and memory until the first ids are known, for generated rows.

    python benchmarks/open_rate.py --rows 1281167 --shards 128

The dataset is an index and sparse shards without pictures: opening reads no image. Linux only: it asks /proc.
"""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

import multiprocessing
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.instruments.harness import BenchmarkOptions, peak_memory_mb, run_benchmark
from convert.errors import require_at_least

_PAYLOAD_BYTES = 256 * 342 * 3 // 2


@dataclass(frozen=True)
class OpenRateOptions(BenchmarkOptions):
    """Open a dataset of many rows, and a feed at the start and in the middle of a run."""

    rows: int = 1_281_167
    """Images."""
    shards: int = 128
    """Files they lie in."""
    batch_size: int = 128
    """Images per rank and step."""
    ranks: int = 8
    """Of which one is opened."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "rows", "shards", "batch_size", "ranks")


def measure_openings(options: OpenRateOptions) -> list[dict[str, Any]]:
    """Measure in a fresh process, so that memory is this opening's own; one result."""
    with tempfile.TemporaryDirectory() as folder:
        _generate(options, Path(folder))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return [pool.apply(_open, (options, Path(folder)))]


def _open(options: OpenRateOptions, folder: Path) -> dict[str, Any]:
    from convert.dataset import Dataset
    from tinydarknet.feed.order import TrainingStream

    rss_before_mb = psutil.Process().memory_info().rss / 1e6
    start = time.perf_counter()
    records = Dataset(folder)
    opened_s = time.perf_counter() - start
    per_run = 90 * (options.rows // (options.batch_size * options.ranks))
    steps = {"first": 0, "middle": per_run // 2 + 7}
    seconds = {}
    for name, first_step in steps.items():
        start = time.perf_counter()
        stream = TrainingStream(len(records), options.batch_size, 0, 0, options.ranks, first_step, per_run)
        stream.batch_rows(0)
        seconds[name] = time.perf_counter() - start
    return {
        "benchmark": "open_rate",
        "open_s": opened_s,
        "first_ids_s": seconds["first"],
        "ids_at_middle_step_s": seconds["middle"],
        "added_peak_rss_mb": peak_memory_mb() - rss_before_mb,
        "open_files": psutil.Process().num_fds(),
        "rows": options.rows,
        "shards": options.shards,
        "ranks": options.ranks,
        "batch_size": options.batch_size,
    }


def _generate(options: OpenRateOptions, folder: Path) -> None:
    """Write an index of `rows` rows, and sparse files of the size it speaks of."""
    import numpy as np
    import pyarrow as pa

    from convert.dataset import manifest as contract
    from convert.dataset.index import write_index

    ids = np.arange(options.rows, dtype=np.int64)
    shard = ids * options.shards // options.rows
    first = np.searchsorted(shard, np.arange(options.shards + 1))
    numbers = np.random.default_rng(0).permutation(options.rows)
    columns = {
        "id": ids,
        "key": pa.array([f"n{number % 1000:08d}/n{number % 1000:08d}_{number}.JPEG" for number in numbers.tolist()]),
        "label": numbers % 1000,
        "shard": shard,
        "offset": (ids - first[shard]) * _PAYLOAD_BYTES,
        "length": np.full(options.rows, _PAYLOAD_BYTES),
        "height": np.full(options.rows, 256),
        "width": np.full(options.rows, 342),
        "source_bytes": numbers % 200_000,
        "crc32": numbers.astype(np.uint32) * np.uint32(2654435761),
        "action": pa.array(["encoded"]).take(pa.array(np.zeros(options.rows, np.int64))),
        "reason": pa.array([""]).take(pa.array(np.zeros(options.rows, np.int64))),
    }
    index_sha256 = write_index(folder, pa.table(columns))
    entries = []
    for number, rows in enumerate(np.diff(first).tolist()):
        name = f"train.mindrecord{number:03d}"
        with (folder / name).open("wb") as stream:
            stream.truncate(rows * _PAYLOAD_BYTES)
        entries.append(contract.ShardEntry(name, rows, rows * _PAYLOAD_BYTES, "", 0, ""))
    classes = tuple(contract.ClassEntry(f"n{label:08d}", "") for label in range(1000))
    contract.write_manifest(
        folder,
        contract.Manifest(
            split="train",
            encoding=contract.Encoding("yuv420", 256),
            seed=0,
            classes=classes,
            shards=tuple(entries),
            layout=contract.Layout(0, 1 << 25),
            rows=options.rows,
            payload_bytes=options.rows * _PAYLOAD_BYTES,
            source_bytes=0,
            index_sha256=index_sha256,
            logical_digest="",
            skipped=(),
            versions={},
        ),
    )


def main() -> None:
    """Measure and print."""
    run_benchmark("open_rate.py", OpenRateOptions, measure_openings)


if __name__ == "__main__":
    main()
