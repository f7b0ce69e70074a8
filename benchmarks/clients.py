"""The feed beside other loaders, as what reaches a training loop as tensors; runs with PyTorch, with or without MindSpore.

    python benchmarks/clients.py --images IMAGENET/train --data data/imagenet/train       # loaders: images per CPU second
    python benchmarks/clients.py --device cuda --images IMAGENET/train --data DATASET     # training: who waits for whom

Without --images it makes the built-in sample's; without --data it converts them, which needs MindSpore. The lines of
JSON are written as they are measured. *The path --device cuda was tried with PyTorch's CPU device only.*
"""
# pyright: reportMissingImports=false

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

import contextlib
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
from benchmarks.instruments.harness import BenchmarkOptions, environment
from benchmarks.peer_loaders.torchvision_loader import import_torchvision
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
    data: Path | None = None
    """The same images as a yuv420 dataset; converted for the run by default."""
    jpeg_data: Path | None = None
    """The same in the encoding jpeg; converted for the run by default."""
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
    if importlib.util.find_spec("torch") is None:
        raise UserError("this benchmark needs PyTorch: run it in the environment of 'make test-clients'")
    lines: list[str] = []

    def emit_one(result: dict[str, Any]) -> None:
        lines.append(json.dumps({"benchmark": "clients", **result, "environment": environment()}))
        print(lines[-1], flush=True)
        if options.json is not None:
            write_output(options.json, ("\n".join(lines) + "\n").encode())

    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(sys.stderr):
            sources = _sources(options, Path(folder))
        if options.device == "none":
            _measure_loaders(options, sources, emit_one)
        else:
            _measure_training(options, sources, emit_one)
    return 0


def _sources(options: ClientsOptions, folder: Path) -> Sources:
    from convert.job.options import RunOptions
    from convert.run import run
    from convert.sample import SampleOptions, sample

    images = options.images
    if images is None:
        sample(SampleOptions(folder / "sample"))
        images = folder / "sample" / "train"
    planes, jpeg = options.data, options.jpeg_data
    if planes is None:
        run(RunOptions(images, planes := folder / "planes"))
    if jpeg is None:
        run(RunOptions(images, jpeg := folder / "jpeg", encoding="jpeg"))
    return Sources(images, planes, jpeg)


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
    from torchvision import datasets, transforms

    from tinydarknet.feed import Augmentation, Normalization

    own, norm = Augmentation(), Normalization()
    transform = transforms.Compose([
        transforms.RandomResizedCrop(
            options.image_size, (own.scale_min, own.scale_max), (own.ratio_min, own.ratio_max)
        ),
        transforms.RandomHorizontalFlip(own.flip),
        transforms.ColorJitter(own.brightness, own.contrast, own.saturation, own.hue),
        transforms.ToTensor(),
        transforms.Normalize([value / 255 for value in norm.mean], [value / 255 for value in norm.std]),
    ])  # fmt: skip
    loader = DataLoader(
        datasets.ImageFolder(str(images), transform), options.batch_size, shuffle=True, drop_last=True,
        num_workers=workers, persistent_workers=workers > 0, pin_memory=options.device == "cuda",
    )  # fmt: skip
    if not len(loader):
        raise UserError(f"{images} has fewer than {options.batch_size} images: take a smaller --batch-size")
    return itertools.chain.from_iterable(loader for _ in itertools.count())


def _mindspore_batches(options: ClientsOptions, images: Path, workers: int) -> Batches:
    """Batches of (float32 [B, 3, S, S], label) as MindSpore tensors, by its own ImageFolderDataset and operators."""
    import mindspore.dataset as ds

    from tinydarknet.feed import Augmentation, Normalization
    from tinydarknet.feed.reference import operators

    data = ds.ImageFolderDataset(str(images), shuffle=True, num_parallel_workers=1)
    transforms = operators(options.image_size, Normalization(), Augmentation())
    batches = data.map(transforms, "image", num_parallel_workers=workers).batch(options.batch_size, drop_remainder=True)
    return batches.create_tuple_iterator(num_epochs=-1)


def _mindspore_feed_batches(options: ClientsOptions, data: Path, **choice: Any) -> Batches:
    from tinydarknet.feed import open_train_feed

    feed = open_train_feed(
        data, batch_size=options.batch_size, image_size=options.image_size, epochs=_ENDLESS_EPOCHS, threads=1, **choice
    )
    return feed.dataset().create_tuple_iterator(num_epochs=1, do_copy=False)


def _measure_loaders(options: ClientsOptions, sources: Sources, emit_one: Callable[[dict[str, Any]], None]) -> None:
    """Every loader in turns, each turn in a process of its own, so that nobody's threads count for another."""
    names = [name for name in LOADERS if not name.startswith("mindspore") or importlib.util.find_spec("mindspore")]
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(options.repeats):
        for name in names:
            turns[name].append(_in_a_process(options, sources, name))
    medians = {name: sorted(turn["images_per_cpu_s"] for turn in turns[name])[options.repeats // 2] for name in names}
    for name in names:
        emit_one({
            "loader": name,
            "images_per_cpu_s": medians[name],
            "images_per_s": sorted(turn["images_per_s"] for turn in turns[name])[options.repeats // 2],
            "times_torchvision": medians[name] / medians["torchvision, 1 worker"],
            "batch_size": options.batch_size, "image_size": options.image_size, "repeats": options.repeats,
            "images": str(sources.images.name) if options.images else "built-in sample",
        })  # fmt: skip


LOADERS: dict[str, Callable[[ClientsOptions, Sources], Batches]] = {
    "planes": lambda options, sources: _feed_batches(options, sources.planes),
    "rgb": lambda options, sources: _feed_batches(options, sources.planes, images="rgb"),
    "jpeg": lambda options, sources: _feed_batches(options, sources.jpeg, feed="host"),
    "torchvision, 1 worker": lambda options, sources: _image_folder_batches(options, sources.images, 1),
    "torchvision, 2 workers": lambda options, sources: _image_folder_batches(options, sources.images, 2),
    "mindspore: planes": lambda options, sources: _mindspore_feed_batches(options, sources.planes),
    "mindspore: rgb": lambda options, sources: _mindspore_feed_batches(options, sources.planes, images="rgb"),
    "mindspore: jpeg": lambda options, sources: _mindspore_feed_batches(options, sources.jpeg, feed="host"),
    "mindspore: ImageFolderDataset, 1 worker": lambda options, sources: _mindspore_batches(options, sources.images, 1),
}
"""By name; what reaches the loop is a tensor of that framework."""


def _in_a_process(options: ClientsOptions, sources: Sources, name: str) -> dict[str, float]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor  # whose processes may have workers of their own

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_turn, options, sources, name).result()


def _turn(options: ClientsOptions, sources: Sources, name: str) -> dict[str, float]:
    batches = LOADERS[name](options, sources)
    for _ in range(_WARMUP_BATCHES):
        next(batches)
    count, wall, cpu = 0, time.perf_counter(), cpu_seconds()
    while time.perf_counter() - wall < options.seconds:
        next(batches)
        count += options.batch_size
    return {
        "images_per_s": count / (time.perf_counter() - wall),
        "images_per_cpu_s": count / (cpu_seconds() - cpu),
    }


def _measure_training(options: ClientsOptions, sources: Sources, emit_one: Callable[[dict[str, Any]], None]) -> None:
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError("PyTorch finds no CUDA device here: leave --device out, or take --device cpu")
    workers = len(os.sched_getaffinity(0))
    for network in options.networks:
        sources_by_name: dict[str, Callable[[], Batches]] = {
            "a batch that never changes": lambda: itertools.repeat(_fixed(_feed_batches(options, sources.planes))),
            **{
                f"planes, {threads} threads": lambda threads=threads: _feed_batches(options, sources.planes, threads)
                for threads in (1, 2, 4)
            },
            f"jpeg, {workers} threads": lambda: _feed_batches(options, sources.jpeg, workers, feed="host"),
            f"torchvision, {workers} workers": lambda: _image_folder_batches(options, sources.images, workers),
        }
        for name, batches in sources_by_name.items():
            emit_one({
                "network": network, "from": name, "device": options.device,
                "gpu": torch.cuda.get_device_name() if options.device == "cuda" else None,
                "batch_size": options.batch_size, "image_size": options.image_size,
                **_train(options, network, batches()),
            })  # fmt: skip


def _fixed(batches: Batches) -> Any:
    return next(batches)


def _train(options: ClientsOptions, name: str, batches: Batches) -> dict[str, float]:
    """Train for `seconds` in bfloat16; the device waits while the loop has no batch and all its work is done."""
    import torch

    from tinydarknet.feed.torch import PlanesToRgb

    device = torch.device(options.device)
    network, rgb = _network(name).to(device), PlanesToRgb()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    def step(batch: Any) -> None:
        if isinstance(batch, dict):
            planes = [batch[column].to(device, non_blocking=True) for column in ("y", "uv", "colour")]
            images, labels = rgb(*planes), batch["label"]
        else:
            images, labels = batch[0].to(device, non_blocking=True), batch[1]
        labels = labels.to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def finish() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    for _ in range(_WARMUP_BATCHES):
        step(next(batches))
    finish()
    count, waited = 0, 0.0
    wall, cpu = time.perf_counter(), cpu_seconds()
    while time.perf_counter() - wall < options.seconds:
        asked = time.perf_counter()
        batch = next(batches)
        if device.type == "cuda":
            idle = torch.cuda.current_stream().query()  # nothing queued: the device waited at the end of this at least
            waited += (time.perf_counter() - asked) if idle else 0.0
        else:
            waited += time.perf_counter() - asked
        step(batch)
        count += options.batch_size
    finish()
    spent, used = time.perf_counter() - wall, cpu_seconds() - cpu
    return {"images_per_s": count / spent, "wait_share": waited / spent, "cpu_s": used, "seconds": spent}


def _network(name: str) -> Any:
    import torch
    from torch import nn

    if name == "resnet50":
        import_torchvision()  # timm does
        import timm

        return timm.create_model("resnet50")
    from tinydarknet.model.architecture import LAYERS

    parts: list[nn.Module] = []
    channels = 3
    for layer in LAYERS:
        out, last = layer.channels or 1000, layer is LAYERS[-1]
        parts.append(nn.Conv2d(channels, out, layer.kernel, padding="same", bias=last))
        if not last:
            parts += [nn.BatchNorm2d(out), nn.LeakyReLU(0.1)]
        if layer.pool:
            parts.append(nn.MaxPool2d(2))
        channels = out
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten()).to(memory_format=torch.channels_last)


def main() -> None:
    """Measure and print."""
    main_single("clients.py", Command(ClientsOptions, measure))


if __name__ == "__main__":
    main()
