"""Computes one thing on one device and writes what came out, as JSON: `python -m tinydarknet.ascend_check.probe NAME ...`.

    product OUTPUT TARGET DEVICE_ID              a product against numpy's
    cells OUTPUT TARGET DEVICE_ID                the network's own cells against numpy's
    step OUTPUT TARGET DEVICE_ID DATA            loss and gradients of a first step
    overflow OUTPUT TARGET DEVICE_ID DATA        what a dynamic loss scale does about an overflow
    ranks OUTPUT TARGET DEVICE_ID DATA           the weights' CRC on every rank after 50 steps; started as a rank
    decoding OUTPUT TARGET DEVICE_ID DATA        windows by the card's decoder against the host's, and both rates
    model OUTPUT TARGET DEVICE_ID CHECKPOINT OM  an OM file's answers against the checkpoint's

A device is chosen once in a process, and two may differ: so each probe has a process of its own.
"""

from __future__ import annotations

import json
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from convert.dataset.manifest import load_manifest
from convert.image.planes import to_rgb_nearest
from tinydarknet.ascend_check.workplace import BATCH, SIZE
from tinydarknet.colour import IMAGENET, plain_matrix
from tinydarknet.config import DeviceConfig, TrainConfig
from tinydarknet.device import Device, gather_over_ranks, set_up
from tinydarknet.feed.loader import open_train_feed
from tinydarknet.feed.mindspore import PlanesToRgb
from tinydarknet.model.network import FusedLeakyReLU, LeakyReLU, MaxPool2x2
from tinydarknet.train.assembly import Run, assemble
from tinydarknet.train.data import TrainingData
from tinydarknet.train.schedule import Segment
from tinydarknet.train.step import TrainStep
from tinydarknet.train.training import training_step

RANK_STEPS = 50
HUGE_SCALE = 1e38
"""A loss scale that no gradient survives in float16."""


def product(device: Device) -> dict[str, Any]:
    """A product of two matrices, and which generation the card is of."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((256, 256), np.float32) for _ in range(2))
    found = ops.matmul(Tensor(a), Tensor(b)).asnumpy()
    return {"difference": _difference(found, a.astype(np.float64) @ b), "soc": device.soc}


def cells(device: Device) -> dict[str, Any]:
    """Largest differences from numpy's float64, relative to the largest value, by cell and precision."""
    if device.target == "Ascend":
        ms.device_context.ascend.op_precision.conv_allow_hf32(False)
        ms.device_context.ascend.op_precision.matmul_allow_hf32(False)
    rng = np.random.default_rng(0)
    found: dict[str, float] = {}
    y = rng.integers(0, 256, (4, 1, SIZE, SIZE), dtype=np.uint8)
    uv = rng.integers(0, 256, (4, 2, SIZE // 2, SIZE // 2), dtype=np.uint8)
    matrix = plain_matrix(IMAGENET).astype(np.float32)
    rgb = PlanesToRgb()(Tensor(y), Tensor(uv), Tensor(np.repeat(matrix[None], 4, 0))).asnumpy()
    found["input cell, float32"] = _difference(rgb, to_rgb_nearest(y, uv, matrix.astype(np.float64)))
    # exact in float16, none 0, none twice in a plane
    values = rng.permuted(np.tile((np.arange(256) - 127.5) / 16, (32, 1)), axis=1).reshape(4, 8, 16, 16)
    for dtype in (np.float32, np.float16):
        x = values.astype(dtype)
        weight = rng.standard_normal(x.shape).astype(dtype)
        wide = x.astype(np.float64)
        for activation in (LeakyReLU(0.1), FusedLeakyReLU(0.1)) if device.target == "Ascend" else (LeakyReLU(0.1),):
            name = f"{type(activation).__name__}, {dtype.__name__}"
            value, gradient = _with_gradient(activation, x, weight)
            found[name] = _difference(value, np.where(wide >= 0, wide, 0.1 * wide))
            found[f"{name}, gradient"] = _difference(gradient, weight * np.where(wide >= 0, 1, 0.1))
        blocks = wide.reshape(4, 8, 8, 2, 8, 2)
        highest = blocks.max((3, 5), keepdims=True)
        pooled_weight = weight[:, :, :8, :8]
        value, gradient = _with_gradient(MaxPool2x2(device.target == "CPU").set_train(), x, pooled_weight)
        found[f"MaxPool2x2, {dtype.__name__}"] = _difference(value, highest[:, :, :, 0, :, 0])
        chosen = (blocks == highest) * pooled_weight[:, :, :, None, :, None]
        found[f"MaxPool2x2, {dtype.__name__}, gradient"] = _difference(gradient, chosen.reshape(x.shape))
    normalized = nn.BatchNorm2d(8, eps=1e-5).set_train()(Tensor(wide.astype(np.float32))).asnumpy()
    mean, variance = wide.mean((0, 2, 3), keepdims=True), wide.var((0, 2, 3), keepdims=True)
    found["BatchNorm2d, float32"] = _difference(normalized, (wide - mean) / np.sqrt(variance + 1e-5))
    return {"differences": found}


def step(device: Device, data: str) -> dict[str, Any]:
    """The loss and the gradients of one step from fixed weights on a fixed batch, by the training's own precision."""
    _, step, columns = _prepared(device, data)
    scale = step.scale.value * 1.0 if step.dynamic else step.scale
    loss, gradients = step.gradient(scale, *columns)
    flat = np.concatenate([gradient.asnumpy().ravel() for gradient in gradients]).astype(np.float64)
    scale = float(scale.asnumpy())
    return {"loss": float(loss.asnumpy()) / scale, "gradients": (flat / scale).tolist()}


def overflow(device: Device, data: str) -> dict[str, Any]:
    """The loss scale before and after a step that must overflow, and whether it left the weights alone."""
    run, step, columns = _prepared(device, data, amp_level="O3", is_dynamic_loss_scale=True, loss_scale=HUGE_SCALE)
    before = _crc(run)
    step(*columns).asnumpy()
    return {"before": HUGE_SCALE, "after": float(step.scale.value.asnumpy()), "weights_kept": _crc(run) == before}


def ranks(device: Device, data: str) -> dict[str, Any]:
    """The weights' CRC on every rank after some steps."""
    run, step, columns = _prepared(device, data)
    for _ in range(RANK_STEPS):
        step(*columns).asnumpy()
    crcs = gather_over_ranks(device, np.array([[_crc(run)]], np.uint32))
    return {"crcs": crcs.ravel().tolist()}


def decoding(device: Device, data: str) -> dict[str, Any]:
    """Differences of training's windows by the card's decoder from the host's, in grey levels of RGB; both rates.

    Without a card the processors run its pipeline.
    """
    images, rates = {}, {}
    names = ("dvpp" if device.target == "Ascend" else "dvpp_on_cpu", "host")
    for name in names:
        feed = open_train_feed(data, batch_size=BATCH, image_size=SIZE, feed=name)
        images[name] = np.concatenate([_rgb(batch) for batch in feed])
        start = time.perf_counter()
        count = sum(1 for _ in feed.reused())
        rates[name] = count * BATCH / (time.perf_counter() - start)
    differences = np.abs(images[names[0]] - images["host"]).mean((1, 2, 3))
    auto = open_train_feed(data, batch_size=BATCH, image_size=SIZE)
    return {
        "images": len(differences),
        "difference": float(differences.mean()),
        "worst": float(differences.max()),
        "rates": rates,
        "choice": auto.choice,
    }


def model(device: Device, checkpoint: str, om: str) -> dict[str, Any]:
    """How many of 64 drawn images an OM file takes for the class that the checkpoint says; ais_bench runs it."""
    from ais_bench.infer.interface import InferSession  # pyright: ignore[reportMissingImports]

    from tinydarknet.darknet_weights import load_any
    from tinydarknet.export.samples import drawn_images
    from tinydarknet.model.checkpoint import build_network
    from tinydarknet.model.inputs import Classifier, RgbPixels

    loaded = load_any(Path(checkpoint))
    description = loaded.description.model
    (pixels,) = drawn_images(description.image_size, 64).inputs("rgb_uint8", description.normalization)
    network = Classifier(RgbPixels(description.normalization), build_network(loaded)).set_train(False)
    wanted = network(Tensor(pixels)).asnumpy().argmax(1)
    session = InferSession(0, om)
    answers = [session.infer([image[None].transpose(0, 2, 3, 1).copy()], mode="dymbatch")[0] for image in pixels]
    return {"equal": int((np.concatenate(answers).argmax(1) == wanted).sum()), "target": device.target}


def _prepared(device: Device, data: str, **options: Any) -> tuple[Run, TrainStep, list[Tensor]]:
    """A run that has done no step, its step, and its first batch."""
    folder = Path(data)
    config = TrainConfig(
        data_path=folder, run_dir=Path(f"probe-{device.rank}-{time.time_ns()}"), batch_size=BATCH, image_height=SIZE,
        image_width=SIZE, lr_init=0.02, epoch_size=100, **options,
    )  # fmt: skip
    run, _ = assemble(config, device, load_manifest(folder))
    feed = TrainingData(run).feed(Segment(0, 1, SIZE))
    batch = next(iter(feed))
    return run, training_step(run, feed).set_train(True), [Tensor(batch[name]) for name in feed.columns]


def _crc(run: Run) -> int:
    crc = 0
    for parameter in run.network.trainable_params():  # a forward pass changes batch norm's statistics, each rank's own
        crc = zlib.crc32(parameter.asnumpy().tobytes(), crc)
    return crc


def _with_gradient(cell: nn.Cell, x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A cell's value, and the gradient of its sum weighted by `weight`."""
    gradient = ops.GradOperation(sens_param=True)(cell)(Tensor(x), Tensor(weight))
    return cell(Tensor(x)).asnumpy(), gradient.asnumpy()


def _difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest |difference|, relative to the largest wanted value."""
    return float(np.abs(found.astype(np.float64) - wanted).max() / np.abs(wanted).max())


def _rgb(batch: dict[str, np.ndarray]) -> np.ndarray:
    """A batch's images as grey levels, float [B, 3, S, S], their colours as they are stored."""
    levels = plain_matrix(IMAGENET) * np.array(IMAGENET.std)[:, None]
    levels[:, 3] += IMAGENET.mean
    return to_rgb_nearest(batch["y"], batch["uv"], levels)


PROBES = (product, cells, step, overflow, ranks, decoding, model)


def main() -> None:
    """Run the probe that the command line names."""
    name, output, target, device_id, *words = sys.argv[1:]
    device, _ = set_up(DeviceConfig(device_target=target, device_id=int(device_id)))  # pyright: ignore[reportArgumentType]
    (probe,) = (probe for probe in PROBES if probe.__name__ == name)
    found = probe(device, *words)
    if device.is_first:
        Path(output).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
