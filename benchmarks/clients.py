"""The feed beside other loaders, as what reaches a training loop as tensors; runs with PyTorch, with or without MindSpore.

    python benchmarks/clients.py --images IMAGENET/train       # loaders: images per second of CPU time
    python benchmarks/clients.py --device cuda                 # training: who waits for whom

Without --images it draws the built-in sample's. It stores what the feeds read by itself, in a temporary folder. Lines of
JSON are written as they are measured. *The path --device cuda was not run on a GPU: it was tried with --device cpu.*
"""
# pyright: reportMissingImports=false

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

import contextlib
import dataclasses
import importlib.util
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.instruments.clock import cpu_seconds
from benchmarks.instruments.datasets import store_readable
from benchmarks.instruments.harness import BenchmarkOptions, environment, spread
from benchmarks.peer_loaders.torch_training import build_network
from benchmarks.peer_loaders.torchvision_loader import augmented, import_torchvision
from convert.cli import Command, main_single
from convert.durable_files import write_output
from convert.errors import UserError, require_at_least, require_positive

Batches = Iterator[Any]
_ENDLESS_EPOCHS = 10**6
_WARMUP_BATCHES = 3


@dataclass(frozen=True, kw_only=True)
class ClientsOptions(BenchmarkOptions):
    """Measure loaders, or training from them."""

    images: Path | None = None
    """Pictures in class folders; the built-in sample's by default."""
    device: Literal["none", "cpu", "cuda"] = "none"
    """none measures the loaders alone; otherwise networks train on this device."""
    networks: tuple[Literal["tiny", "resnet50"], ...] = ("tiny", "resnet50")
    """With a device: Tiny-DarkNet, ResNet-50 of timm."""
    batch_size: int = 128
    """Images per batch."""
    image_size: int = 224
    """Pixels."""
    seconds: float = 5.0
    """Least duration of one turn."""
    repeats: int = 3
    """Turns of every loader; the medians count."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "batch_size", "repeats")
        require_at_least(self, 32, "image_size")
        require_positive(self, "seconds")


@dataclass(frozen=True)
class Sources:
    """The same images three times."""

    images: Path
    planes: Path
    jpeg: Path


def measure(options: ClientsOptions) -> int:
    """Measure, printing and writing every result as it comes."""
    needed = ["torch", "torchvision"] + ["timm"] * (options.device != "none" and "resnet50" in options.networks)
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"this benchmark needs {', '.join(missing)}: pip install {' '.join(missing)}")
    lines: list[str] = []

    def emit_one(result: dict[str, Any]) -> None:
        sizes = {"batch_size": options.batch_size, "image_size": options.image_size}
        lines.append(json.dumps({"benchmark": "clients", **result, **sizes, "environment": environment()}))
        print(lines[-1], flush=True)
        if options.json is not None:
            write_output(options.json, ("\n".join(lines) + "\n").encode())

    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(sys.stderr):
            sources = store_sources(options, Path(folder))
        if options.device == "none":
            _measure_loaders(options, sources, emit_one)
        else:
            _measure_training(options, sources, emit_one)
    return 0


def store_sources(options: ClientsOptions, folder: Path) -> Sources:
    """Store the images, or the built-in sample's, for every kind of feed."""
    from convert.image.encoding import Encoding
    from convert.sample import SampleOptions, sample

    images = options.images
    if images is None:
        sample(SampleOptions(folder / "sample"))
        images = folder / "sample" / "train"
    planes = store_readable(images, folder / "planes", Encoding.of("yuv420", 256, 0))
    return Sources(images, planes, store_readable(images, folder / "jpeg", Encoding.of("jpeg", 256, 90)))


def _feed_batches(options: ClientsOptions, data: Path, threads: int = 1, **choice: Any) -> Batches:
    """Batches of tensors, from a feed, as `TorchFeed` hands them out."""
    from tinydarknet.feed import open_train_feed
    from tinydarknet.feed.torch import TorchFeed

    feed = open_train_feed(
        data,
        batch_size=options.batch_size,
        image_size=options.image_size,
        epochs=_ENDLESS_EPOCHS,
        threads=threads,
        **choice,
    )
    return iter(TorchFeed(feed, pin=options.device == "cuda"))


def _image_folder_batches(options: ClientsOptions, images: Path, workers: int) -> Batches:
    """Batches of (float32 [B, 3, S, S], label), from torchvision's ImageFolder with the same augmentation."""
    from torch.utils.data import DataLoader

    import_torchvision()
    from torchvision.datasets import ImageFolder

    from tinydarknet.feed import Augmentation, Normalization

    own = Normalization()
    transform = augmented(options.image_size, dataclasses.asdict(Augmentation()), own.mean, own.std)
    loader = DataLoader(
        ImageFolder(str(images), transform), options.batch_size, shuffle=True, drop_last=True,
        num_workers=workers, persistent_workers=True, pin_memory=options.device == "cuda",
        multiprocessing_context="fork",  # Linux's own, also in a process that was spawned
    )  # fmt: skip
    if not len(loader):
        raise UserError(f"{images} has fewer than {options.batch_size} images: take a smaller --batch-size")
    return itertools.chain.from_iterable(loader for _ in itertools.count())


def _mindspore_batches(options: ClientsOptions, images: Path) -> Batches:
    """Batches of (float32 [B, 3, S, S], label) as MindSpore tensors, by its own ImageFolderDataset and operators."""
    import mindspore.dataset as ds

    from tinydarknet.feed import Augmentation, Normalization
    from tinydarknet.feed.reference import operators

    data = ds.ImageFolderDataset(str(images), shuffle=True, num_parallel_workers=1)
    transforms = operators(options.image_size, Normalization(), Augmentation())
    batches = data.map(transforms, "image", num_parallel_workers=1).batch(options.batch_size, drop_remainder=True)
    return batches.repeat().create_tuple_iterator(num_epochs=1)  # an iterator of many epochs stops at each one's end


def _mindspore_feed_batches(options: ClientsOptions, data: Path, **choice: Any) -> Batches:
    from tinydarknet.feed import open_train_feed

    feed = open_train_feed(
        data, batch_size=options.batch_size, image_size=options.image_size, epochs=_ENDLESS_EPOCHS, threads=1, **choice
    )
    return feed.dataset().create_tuple_iterator(num_epochs=1, do_copy=False)


def _measure_loaders(options: ClientsOptions, sources: Sources, emit_one: Callable[[dict[str, Any]], None]) -> None:
    """Every loader in turns, each turn in a process of its own, so that nobody's threads count for another."""
    names = [name for name in LOADERS if name[0] == "PyTorch" or importlib.util.find_spec("mindspore")]
    turns: dict[tuple[str, str], list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(options.repeats):
        for name in names:
            turns[name].append(_in_a_process(options, sources, name))
    images = sum(1 for path in sources.images.rglob("*") if path.is_file())
    for name in names:
        rates = {key: [turn[key] for turn in turns[name]] for key in ("images_per_core_s", "images_per_s")}
        emit_one({
            "framework": name[0], "loader": name[1],
            **{field: value for key, values in rates.items() for field, value in spread(key, values).items()},
            "repeats": options.repeats, "images": images, "photographs": options.images is not None,
        })  # fmt: skip


LOADERS: dict[tuple[str, str], Callable[[ClientsOptions, Sources], Batches]] = {
    ("PyTorch", "planes"): lambda options, sources: _feed_batches(options, sources.planes),
    ("PyTorch", "rgb"): lambda options, sources: _feed_batches(options, sources.planes, images="rgb"),
    ("PyTorch", "jpeg"): lambda options, sources: _feed_batches(options, sources.jpeg, feed="host"),
    ("PyTorch", "ImageFolder, 1 worker"): lambda options, sources: _image_folder_batches(options, sources.images, 1),
    ("PyTorch", "ImageFolder, 2 workers"): lambda options, sources: _image_folder_batches(options, sources.images, 2),
    ("MindSpore", "planes"): lambda options, sources: _mindspore_feed_batches(options, sources.planes),
    ("MindSpore", "rgb"): lambda options, sources: _mindspore_feed_batches(options, sources.planes, images="rgb"),
    ("MindSpore", "jpeg"): lambda options, sources: _mindspore_feed_batches(options, sources.jpeg, feed="host"),
    ("MindSpore", "ImageFolderDataset, 1 worker"): lambda options, sources: _mindspore_batches(options, sources.images),
}
"""By framework, whose tensors reach the loop, and name."""


def _in_a_process(options: ClientsOptions, sources: Sources, name: tuple[str, str]) -> dict[str, float]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor  # whose processes may have workers of their own

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_turn, options, sources, name).result()


def _turn(options: ClientsOptions, sources: Sources, name: tuple[str, str]) -> dict[str, float]:
    batches = LOADERS[name](options, sources)
    for _ in range(_WARMUP_BATCHES):
        next(batches)
    count, wall, cpu = 0, time.perf_counter(), cpu_seconds()
    while time.perf_counter() - wall < options.seconds:
        next(batches)
        count += options.batch_size
    return {
        "images_per_s": count / (time.perf_counter() - wall),
        "images_per_core_s": count / (cpu_seconds() - cpu),  # a loader's processes are counted, they are still at work
    }


def _measure_training(options: ClientsOptions, sources: Sources, emit_one: Callable[[dict[str, Any]], None]) -> None:
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError("PyTorch finds no CUDA device here: take --device cpu")
    workers = len(os.sched_getaffinity(0))
    batches_by_name: dict[str, Callable[[], Batches]] = {
        "a batch that never changes": lambda: itertools.repeat(
            _on_device(next(_feed_batches(options, sources.planes)), options.device)
        ),
        **{
            f"planes, {threads} threads": lambda threads=threads: _feed_batches(options, sources.planes, threads)
            for threads in (1, 2, 4)
        },
        f"jpeg, {workers} threads": lambda: _feed_batches(options, sources.jpeg, workers, feed="host"),
        f"torchvision, {workers} workers": lambda: _image_folder_batches(options, sources.images, workers),
    }
    gpu = torch.cuda.get_device_name() if options.device == "cuda" else None
    for network, (name, batches) in itertools.product(options.networks, batches_by_name.items()):
        measured = _train(options, network, batches())
        emit_one({"network": network, "from": name, "device": options.device, "gpu": gpu, **measured})


def _on_device(batch: Any, device: str) -> dict[str, Any]:
    """Images and labels of a batch, whichever loader it is from, sent to the device without waiting."""
    named = batch if isinstance(batch, dict) else dict(zip(("image", "label"), batch, strict=True))
    return {name: tensor.to(device, non_blocking=True) for name, tensor in named.items() if name != "id"}


def _train(options: ClientsOptions, name: str, batches: Batches) -> dict[str, float]:
    """Train for `seconds` in bfloat16.

    A GPU waits from its last step's end until its next batch is sent, by its own clock; a CPU while the loop has no batch.
    """
    import torch

    from tinydarknet.feed.torch import PlanesToRgb

    network, rgb = _network(name).to(options.device, memory_format=torch.channels_last), PlanesToRgb()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    on_gpu = options.device == "cuda"
    torch.backends.cudnn.benchmark = True
    marks: list[Any] = []

    def mark() -> float:
        """Note this place among the device's work, or on the CPU's clock."""
        if not on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def step() -> None:
        ended = mark()
        batch = next(batches)
        marks.append((ended, mark()))
        sent = _on_device(batch, options.device)
        with torch.autocast(options.device, torch.bfloat16):
            images = sent["image"] if "image" in sent else rgb(sent["y"], sent["uv"], sent["colour"])
            loss = torch.nn.functional.cross_entropy(network(images), sent["label"])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def finish() -> None:
        if on_gpu:
            torch.cuda.synchronize()

    for _ in range(_WARMUP_BATCHES):
        step()
    finish()
    marks.clear()
    wall, cpu = time.perf_counter(), cpu_seconds()
    while time.perf_counter() - wall < options.seconds:
        step()
    finish()
    spent, used = time.perf_counter() - wall, cpu_seconds() - cpu
    waited = sum(first.elapsed_time(last) / 1e3 if on_gpu else last - first for first, last in marks)
    images = len(marks) * options.batch_size
    return {"images_per_s": images / spent, "wait_share": waited / spent, "cpu_s": used, "seconds": spent}


def _network(name: str) -> Any:
    """ResNet-50 of timm, or Tiny-DarkNet, for 1000 classes."""
    if name == "tiny":
        return build_network(1000, "darknet", seed=0)
    import_torchvision()  # timm does
    import timm

    return timm.create_model("resnet50")


def main() -> None:
    """Measure and print."""
    main_single("clients.py", Command(ClientsOptions, measure))


if __name__ == "__main__":
    main()
