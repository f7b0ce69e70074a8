"""What an answer costs: the checkpoint and its exports side by side, one image at a time and in batches.

    python benchmarks/infer_rate.py --checkpoint-path tiny.ckpt

Each kind runs in a process of its own, on drawn pixels that are in memory already: no decoding, no cropping.
Without a checkpoint the weights are initial ones; the time does not depend on them.
"""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

import contextlib
import dataclasses
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.instruments.clock import cpu_seconds
from benchmarks.instruments.harness import BenchmarkOptions, percentiles, run_benchmark, spread
from convert.errors import require_at_least, require_some
from tinydarknet.config import check_image_side

Kind = Literal["checkpoint", "mindir", "onnx", "onnx_int8"]


@dataclass(frozen=True)
class InferRateOptions(BenchmarkOptions):
    """Time the network as checkpoint, MINDIR, ONNX and int8 ONNX: latency at batch 1, images per second in batches."""

    checkpoint_path: Path | None = None
    """The network; by default one with initial weights and 1,000 classes."""
    kinds: tuple[Kind, ...] = ("checkpoint", "mindir", "onnx", "onnx_int8")
    """What to measure."""
    batch_size: int = 64
    """Images per call for the rate."""
    image_size: int = 224
    """Pixels."""
    calls: int = 100
    """Timed calls with one image."""
    repeats: int = 5
    """Timed calls with batch_size images."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "batch_size", "calls", "repeats")
        require_some(self, "kinds")
        check_image_side("image_size", self.image_size)


def measure_inference(options: InferRateOptions) -> list[dict[str, Any]]:
    """One result for each kind, in fresh processes, so that no engine's threads disturb another's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            files = pool.apply(_make_files, (options, folder))
        results = []
        for kind in options.kinds:
            with context.Pool(1) as pool:
                results.append(pool.apply(_measure, (options, kind, files[kind])))
    return results


def _make_files(options: InferRateOptions, folder: Path) -> dict[Kind, Path]:
    """The checkpoint and its exports."""
    from tinydarknet.export.__main__ import export_checkpoint
    from tinydarknet.export.options import ExportOptions

    checkpoint = options.checkpoint_path or _initial_checkpoint(folder / "initial.ckpt", options.image_size)
    with contextlib.redirect_stdout(sys.stderr):
        export_checkpoint(ExportOptions(checkpoint_path=checkpoint, out_dir=folder, image_size=options.image_size))
    files: dict[Kind, Path] = {
        "checkpoint": checkpoint,
        "mindir": folder / "tinydarknet.mindir",
        "onnx": folder / "tinydarknet.onnx",
    }
    if "onnx_int8" in options.kinds:
        files["onnx_int8"] = _quantized(checkpoint, options.image_size, files["onnx"], folder / "int8.onnx")
    return files


def _initial_checkpoint(path: Path, image_size: int) -> Path:
    from tinydarknet import device as devices
    from tinydarknet.colour import IMAGENET
    from tinydarknet.config import DeviceConfig
    from tinydarknet.model.checkpoint import save
    from tinydarknet.model.description import Description, ModelDescription, plain_classes
    from tinydarknet.model.network import TinyDarkNet

    devices.set_up(DeviceConfig("CPU"))
    model = ModelDescription("darknet", plain_classes(1000), IMAGENET, image_size, "initial weights")
    save(path, TinyDarkNet(1000), Description(model))
    return path


def _quantized(checkpoint: Path, image_size: int, float32: Path, path: Path) -> Path:
    """An int8 file calibrated on drawn images: as fast as one calibrated on photographs, and of no other use."""
    from convert.durable_files import sha256_file
    from tinydarknet.darknet_weights import load_any
    from tinydarknet.export.card import read_card, write_card
    from tinydarknet.export.design import Design, fold_batch_norms
    from tinydarknet.export.onnx_file import build_onnx, quantize
    from tinydarknet.export.samples import drawn_images

    loaded = load_any(checkpoint)
    model = loaded.description.model
    design = fold_batch_norms(Design(model, loaded.weights, False, "rgb_uint8", "probabilities", image_size, None))
    source = path.with_name("folded.onnx")
    source.write_bytes(build_onnx(design).SerializeToString())
    quantize(source, path, design, iter([drawn_images(image_size, 8)]))
    write_card(path, dataclasses.replace(read_card(float32), sha256=sha256_file(path), precision="int8"))
    return path


def _measure(options: InferRateOptions, kind: Kind, path: Path) -> dict[str, Any]:
    import numpy as np

    from tinydarknet.config import DeviceConfig
    from tinydarknet.predict.predictors import open_predictor

    start = time.perf_counter()
    predictor = open_predictor(path, DeviceConfig("CPU"))
    size = options.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (options.batch_size, 3, size, size), dtype=np.uint8)
    predictor.probabilities(pixels[:1])
    first_answer_s = time.perf_counter() - start
    predictor.probabilities(pixels[:1])

    single_ms, single_cpu_s = _time_calls(lambda: predictor.probabilities(pixels[:1]), options.calls)
    predictor.probabilities(pixels)
    batch_ms, batch_cpu_s = _time_calls(lambda: predictor.probabilities(pixels), options.repeats)
    return {
        "benchmark": "infer_rate",
        "kind": kind,
        "file_bytes": path.stat().st_size,
        "first_answer_s": first_answer_s,
        "latency_ms": percentiles(single_ms),
        "latency_cpu_ms": 1e3 * single_cpu_s / options.calls,
        **spread("images_per_s", [1e3 * options.batch_size / wall_ms for wall_ms in batch_ms]),
        "images_per_core_s": options.batch_size * options.repeats / batch_cpu_s,
        "batch_size": options.batch_size,
        "image_size": size,
        "calls": options.calls,
        "repeats": options.repeats,
    }


def _time_calls(call: Callable[[], object], count: int) -> tuple[list[float], float]:
    """Wall milliseconds of each call, and the CPU seconds of all."""
    wall_ms = []
    cpu_start = cpu_seconds()
    for _ in range(count):
        start = time.perf_counter()
        call()
        wall_ms.append(1e3 * (time.perf_counter() - start))
    return wall_ms, cpu_seconds() - cpu_start


def main() -> None:
    """Measure and print."""
    run_benchmark("infer_rate.py", InferRateOptions, measure_inference)


if __name__ == "__main__":
    main()
