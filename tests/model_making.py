"""Checkpoints for the tests of export and prediction, made without training."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from mindspore import Tensor

from convert.dataset.manifest import ClassEntry
from tinydarknet.colour import IMAGENET
from tinydarknet.export.samples import dataset_images
from tinydarknet.model import checkpoint
from tinydarknet.model.architecture import layer_shapes
from tinydarknet.model.description import Description, ModelDescription, RunState
from tinydarknet.model.inputs import Classifier, RgbPixels
from tinydarknet.model.network import TinyDarkNet

SIZE = 32
CLASSES = (ClassEntry("n01440764", "tench"), ClassEntry("n02342885", "hamster"), ClassEntry("n03786901", "mortar"))
DIGEST = "0123abcd"


def random_weights(classes: int, variant: str = "darknet") -> dict[str, np.ndarray]:
    """Initial convolutions, and batch norms in which every statistic matters."""
    rng = np.random.default_rng(1)
    weights = {p.name: p.asnumpy() for p in TinyDarkNet(classes, variant).get_parameters()}
    ranges = {"gamma": (0.7, 1.3), "beta": (-0.3, 0.3), "moving_mean": (-0.2, 0.2), "moving_variance": (0.5, 1.5)}
    for name, array in weights.items():
        low, high = ranges.get(name.rpartition(".")[2], (None, None))
        if low is not None:
            weights[name] = rng.uniform(low, high, array.shape).astype(np.float32)
    return weights


def fitted_weights(data: Path) -> dict[str, np.ndarray]:
    """Random layers, and a head that tells a dataset's classes apart: least squares on what comes before it."""
    weights = random_weights(len(CLASSES))
    features_weights = {**weights, "conv16.conv.weight": np.eye(128, dtype=np.float32)[:, :, None, None]}
    features_weights["conv16.conv.bias"] = np.zeros(128, np.float32)
    features = TinyDarkNet(128)
    checkpoint.fill(features.get_parameters(), features_weights, "features")
    network = Classifier(RgbPixels(IMAGENET), features).set_train(False)
    parts, labels = [], []
    for images in dataset_images(SIZE, data):
        parts.append(network(*map(Tensor, images.inputs("rgb_uint8", IMAGENET))).asnumpy())
        labels.append(images.labels)
    inputs = np.pad(np.concatenate(parts), ((0, 0), (0, 1)), constant_values=1)
    wanted = 8 * np.eye(len(CLASSES))[np.concatenate(labels)]
    solution = np.linalg.lstsq(inputs, wanted, rcond=0.01)[0].astype(np.float32)
    weights["conv16.conv.weight"] = solution[:-1].T.reshape(len(CLASSES), 128, 1, 1)
    weights["conv16.conv.bias"] = solution[-1]
    return weights


def with_an_outlier(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same function, with one channel of every layer 10,000 times the others: eight bits cannot hold both."""
    changed = dict(weights)
    shapes = layer_shapes(len(CLASSES), "darknet")
    for shape, following in itertools.pairwise(shapes):
        for name in ("gamma", "beta"):
            array = changed[f"{shape.name}.bn.{name}"].copy()
            array[0] *= 1e4
            changed[f"{shape.name}.bn.{name}"] = array
        array = changed[f"{following.name}.conv.weight"].copy()
        array[:, 0] *= 1e-4
        changed[f"{following.name}.conv.weight"] = array
    return changed


def save(path: Path, weights: dict[str, np.ndarray], variant: str = "darknet") -> Path:
    network = TinyDarkNet(len(CLASSES), variant)
    checkpoint.fill(network.get_parameters(), weights, str(path))
    model = ModelDescription(variant, CLASSES, IMAGENET, SIZE, "a test")
    checkpoint.save(path, network, Description(model, RunState(7, 3, 8, 1, DIGEST, 0.5)))
    return path


def logits_of(path: Path, pixels: np.ndarray) -> np.ndarray:
    """The checkpoint's own answer to RGB pixels uint8 [B, 3, S, S]."""
    loaded = checkpoint.load(path)
    network = Classifier(RgbPixels(loaded.description.model.normalization), checkpoint.build_network(loaded))
    return network.set_train(False)(Tensor(pixels)).asnumpy()


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def drawn_pixels(count: int) -> np.ndarray:
    """RGB uint8 [count, 3, SIZE, SIZE]."""
    return np.random.default_rng(2).integers(0, 256, (count, 3, SIZE, SIZE), dtype=np.uint8)
