"""Trains Tiny-DarkNet in PyTorch by a run's own recipe, with torchvision's transforms behind a DataLoader.

python -m benchmarks.peer_loaders.torch_training ORDER.json

Writes RUN/log.jsonl with the events of this project's runs. A run that is cut off begins again from the start.
"""
# pyright: reportMissingImports=false

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

from benchmarks.instruments.clock import cpu_seconds
from benchmarks.peer_loaders.torchvision_loader import augmented, import_torchvision, normalized
from tinydarknet.model.architecture import VARIANTS, VariantName, layer_shapes

CENTRE_FRACTION = 224 / 256
"""Side of the evaluation crop over the image's short side."""
BN_MOMENTUM = 0.1
"""Weight of the newest batch: MindSpore's BatchNorm2d(momentum=0.9) and PyTorch's own default."""


@dataclass(frozen=True)
class Order:
    """What to train; every number of it is one of the run's options in this project."""

    train: str
    """Class folders."""
    val: str
    run: str
    """The run's folder, which must exist."""
    image_size: int
    batch_size: int
    seed: int
    rates: list[float]
    """Learning rate of every step."""
    epochs: int
    momentum: float
    nesterov: bool
    weight_decay: float
    smoothing: float
    """Weight of all wrong classes together."""
    variant: VariantName
    augmentation: dict[str, float]
    mean: list[float]
    """Grey levels."""
    std: list[float]
    workers: int
    threads: int
    """Of the network."""


def build_network(classes: int, variant: VariantName, seed: int) -> Any:
    """The network of `tinydarknet.model.architecture`, its initial weights those of `TinyDarkNet(seed=seed)`."""
    import numpy as np
    import torch
    from torch import nn

    traits, rng = VARIANTS[variant], np.random.default_rng(seed)
    layers: list[nn.Module] = []
    for shape in layer_shapes(classes, variant):
        padding = shape.kernel // 2
        conv = nn.Conv2d(
            shape.in_channels, shape.out_channels, shape.kernel, padding=padding, bias=not shape.normalized
        )
        weight = rng.standard_normal(tuple(conv.weight.shape)) * np.sqrt(2 / np.prod(conv.weight.shape[1:]))
        with torch.no_grad():
            conv.weight.copy_(torch.from_numpy(weight.astype(np.float32)))
            if conv.bias is not None:
                conv.bias.zero_()
        layers.append(conv)
        if shape.normalized:
            layers.append(nn.BatchNorm2d(shape.out_channels, eps=traits.bn_epsilon, momentum=BN_MOMENTUM))
        if shape.pool:  # before the activation, as in this project: the same result, at a quarter of the work
            layers.append(nn.MaxPool2d(2))
        if shape.normalized:
            layers.append(nn.LeakyReLU(traits.slope, inplace=True))
    place = len(layers) if traits.normalized_head else len(layers) - 1
    layers.insert(place, nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(*layers, nn.Flatten())


def build_optimizer(network: Any, order: Order) -> Any:
    """SGD, without weight decay on batch norm and biases."""
    import torch

    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": order.weight_decay},
    ]
    return torch.optim.SGD(groups, lr=order.rates[0], momentum=order.momentum, nesterov=order.nesterov)


def loaders(order: Order) -> tuple[Any, Any, int]:
    """Batches for training, shuffled and cropped at random, and for evaluation; the number of classes."""
    import torch
    from torch.utils.data import DataLoader

    import_torchvision()
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    val = v2.Compose([
        v2.Resize(round(order.image_size / CENTRE_FRACTION)),
        v2.CenterCrop(order.image_size),
        *normalized(order.mean, order.std),
    ])  # fmt: skip
    train = augmented(order.image_size, order.augmentation, order.mean, order.std)
    images = ImageFolder(order.train, train)
    shared = {"batch_size": order.batch_size, "num_workers": order.workers, "persistent_workers": order.workers > 0}
    shuffled = DataLoader(
        images, shuffle=True, drop_last=True, generator=torch.Generator().manual_seed(order.seed), **shared
    )
    return shuffled, DataLoader(ImageFolder(order.val, val), **shared), len(images.classes)


class Log:
    """The events of a run, one JSON line each."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def event(self, kind: str, **fields: Any) -> None:
        """Write one, with the time, and what the process and its workers, and these alone, have cost so far."""
        own_s, total_s = time.process_time(), cpu_seconds()
        clocks = {"unix_time_s": round(time.time(), 3), "process_cpu_s": round(total_s, 3)}
        clocks["workers_cpu_s"] = round(total_s - own_s, 3)
        print(json.dumps({"event": kind, **fields, **clocks}), file=self._stream, flush=True)


def train(order: Order, log: Log) -> None:
    """Carry out the order."""
    import torch
    from torch.nn.functional import cross_entropy

    torch.manual_seed(order.seed)
    torch.set_num_threads(order.threads)
    batches, val_batches, classes = loaders(order)
    network = build_network(classes, order.variant, order.seed)
    optimizer = build_optimizer(network, order)
    # PyTorch spreads it over all classes, this project over the wrong ones
    smoothing = order.smoothing * classes / (classes - 1)
    toolkit = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision"))
    log.event("start", step=0, total_steps=len(order.rates), steps_per_epoch=len(batches), toolkit=toolkit)
    step, waited_s, trained_s, end_s = 0, 0.0, 0.0, time.perf_counter()
    for _ in range(order.epochs):
        network.train()
        for images, labels in batches:
            wait_s = time.perf_counter() - end_s
            for group in optimizer.param_groups:
                group["lr"] = order.rates[step]
            optimizer.zero_grad()
            loss = cross_entropy(network(images), labels, label_smoothing=smoothing)
            loss.backward()
            optimizer.step()
            now = time.perf_counter()
            step += 1
            if step > 1:
                waited_s, trained_s = waited_s + wait_s, trained_s + now - end_s
            log.event("step", step=step, loss=float(loss.detach()), waiting_share=waited_s / max(trained_s, 1e-9))
            end_s = time.perf_counter()
        start_s = time.perf_counter()
        log.event("evaluation", step=step, **evaluate(network, val_batches), seconds=time.perf_counter() - start_s)
        end_s = time.perf_counter()


def evaluate(network: Any, batches: Any) -> dict[str, int]:
    """Hits among the first and among the first five, and how many images there were."""
    import torch

    counts = {"top1": 0, "top5": 0, "total": 0}
    network.eval()
    with torch.inference_mode():
        for images, labels in batches:
            logits = network(images)
            hits = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
            counts["top1"] += int(hits[:, 0].sum())
            counts["top5"] += int(hits.sum())
            counts["total"] += len(labels)
    return counts


def main(path: Path) -> None:
    """Read the order and carry it out."""
    order = Order(**json.loads(path.read_text()))
    with (Path(order.run) / "log.jsonl").open("w") as stream:
        train(order, Log(stream))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
