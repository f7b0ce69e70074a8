"""The 16 layers and the two variants as tables; no MindSpore here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

VariantName = Literal["darknet", "modelzoo"]


class Layer(NamedTuple):
    """One convolution (stride 1, output as large as the input) and what follows it."""

    channels: int
    """Output channels; 0 stands for the number of classes."""
    kernel: int
    """Side of the square kernel, pixels."""
    pool: bool = False
    """Whether a 2x2 max pool with stride 2 follows."""


LAYERS = (
    Layer(16, 3, pool=True),
    Layer(32, 3, pool=True),
    Layer(16, 1),
    Layer(128, 3),
    Layer(16, 1),
    Layer(128, 3, pool=True),
    Layer(32, 1),
    Layer(256, 3),
    Layer(32, 1),
    Layer(256, 3, pool=True),
    Layer(64, 1),
    Layer(512, 3),
    Layer(64, 1),
    Layer(512, 3),
    Layer(128, 1),
    Layer(0, 1),
)
"""Darknet's cfg/tiny.cfg; the mean over what the last layer leaves are the logits."""

HEAD_NAME = f"conv{len(LAYERS)}"
"""Name of the last layer."""

IMAGE_MULTIPLE = 2 ** sum(layer.pool for layer in LAYERS)
"""Image sides are multiples of this many pixels, so that no pool meets an odd side."""


@dataclass(frozen=True)
class Variant:
    """What Darknet's network and ModelZoo's do differently."""

    slope: float
    """Of the leaky ReLU below zero."""
    bn_epsilon: float
    """Added to the variance in batch normalisation."""
    normalized_head: bool
    """True: batch norm and leaky ReLU on the last layer as well; False: a plain convolution with bias."""


VARIANTS: dict[VariantName, Variant] = {
    "darknet": Variant(slope=0.1, bn_epsilon=1e-5, normalized_head=False),
    "modelzoo": Variant(slope=0.2, bn_epsilon=1e-3, normalized_head=True),
}


class LayerShape(NamedTuple):
    """One layer with its numbers of channels filled in."""

    name: str
    """As in ModelZoo's checkpoints: "conv1" to "conv16"."""
    in_channels: int
    out_channels: int
    kernel: int
    pool: bool
    normalized: bool
    """Batch norm and leaky ReLU follow; otherwise the convolution has a bias."""


def layer_shapes(num_classes: int, variant: VariantName) -> tuple[LayerShape, ...]:
    """The 16 layers for so many classes.

    Raises:
        ValueError: fewer than two classes, or an unknown variant.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {get_args(VariantName)}, got {variant!r}")
    shapes, in_channels = [], 3
    for number, layer in enumerate(LAYERS, start=1):
        out_channels = layer.channels or num_classes
        normalized = number < len(LAYERS) or VARIANTS[variant].normalized_head
        name = f"conv{number}" if number < len(LAYERS) else HEAD_NAME
        shapes.append(LayerShape(name, in_channels, out_channels, layer.kernel, layer.pool, normalized))
        in_channels = out_channels
    return tuple(shapes)
