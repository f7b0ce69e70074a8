"""What an exported network computes, whatever file it goes into; no MindSpore and no ONNX here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from tinydarknet.model.architecture import VARIANTS, LayerShape, Variant, layer_shapes
from tinydarknet.model.description import ModelDescription

InputKind = Literal["rgb_uint8", "rgb_float", "rgb_normalized", "planes"]
OutputKind = Literal["probabilities", "logits"]


class InputSpec(NamedTuple):
    """One input of an exported network."""

    name: str
    dtype: str
    """numpy's name: uint8 or float32."""
    shape: tuple[int, ...]
    """Without the batch."""


def input_specs(kind: InputKind, image_size: int) -> tuple[InputSpec, ...]:
    """The inputs of a kind, in the order in which they are given."""
    if kind == "planes":
        return (
            InputSpec("y", "uint8", (1, image_size, image_size)),
            InputSpec("uv", "uint8", (2, image_size // 2, image_size // 2)),
            InputSpec("colour", "float32", (3, 4)),
        )
    return (InputSpec("image", "uint8" if kind == "rgb_uint8" else "float32", (3, image_size, image_size)),)


@dataclass(frozen=True)
class Design:
    """A checkpoint's network with everything around it that goes into the file."""

    model: ModelDescription
    weights: Mapping[str, np.ndarray]
    """By the checkpoint's parameter names; with `folded`, convolutions have biases and there are no batch norms."""
    folded: bool
    input: InputKind
    output: OutputKind
    image_size: int
    batch: int | None
    """Images per call; None for any number."""

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        """What it takes."""
        return input_specs(self.input, self.image_size)

    @property
    def shapes(self) -> tuple[LayerShape, ...]:
        """The layers."""
        return layer_shapes(self.model.num_classes, self.model.variant)

    @property
    def traits(self) -> Variant:
        """Slope, epsilon and head of the variant."""
        return VARIANTS[self.model.variant]


def fold_batch_norms(design: Design) -> Design:
    """The same network without batch norms, float32.

    gamma (W x - mean) / sqrt(variance + epsilon) + beta is (f W) x + (beta - f mean) with
    f = gamma / sqrt(variance + epsilon); computed in float64, rounded once.
    """
    if design.folded:
        return design
    weights = {}
    for shape in design.shapes:
        convolution = design.weights[f"{shape.name}.conv.weight"]
        if shape.normalized:
            gamma, beta, mean, variance = (
                design.weights[f"{shape.name}.bn.{name}"].astype(np.float64)
                for name in ("gamma", "beta", "moving_mean", "moving_variance")
            )
            factor = gamma / np.sqrt(variance + design.traits.bn_epsilon)
            bias = (beta - factor * mean).astype(np.float32)
            convolution = (convolution * factor[:, None, None, None]).astype(np.float32)
        else:
            bias = design.weights[f"{shape.name}.conv.bias"]
        weights[f"{shape.name}.conv.weight"] = convolution
        weights[f"{shape.name}.conv.bias"] = bias
    return dataclasses.replace(design, weights=weights, folded=True)
