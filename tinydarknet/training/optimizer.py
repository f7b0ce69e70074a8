"""The optimiser, with the reference's parameter groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, nn

UNDECAYED_SUFFIXES = (".gamma", ".beta", ".bias")
"""Batch norm's scale and shift, and biases: no weight decay on them."""


def parameter_groups(parameters: Iterable[Parameter]) -> list[dict[str, Any]]:
    """Split by whether weight decay applies; a group that would be empty is left out."""
    parameters = list(parameters)
    undecayed = [parameter for parameter in parameters if parameter.name.endswith(UNDECAYED_SUFFIXES)]
    decayed = [parameter for parameter in parameters if not parameter.name.endswith(UNDECAYED_SUFFIXES)]
    groups = [{"params": undecayed, "weight_decay": 0.0}, {"params": decayed}]
    return [group for group in groups if group["params"]]


def build_optimizer(
    network: nn.Cell, rates: np.ndarray, momentum: float, weight_decay: float, nesterov: bool
) -> nn.Optimizer:
    """Momentum over the network's trainable parameters, `rates[i]` at step i.

    Nesterov's form is SGD's: on the CPU nn.Momentum(use_nesterov=True) silently runs plain momentum.
    """
    kind = nn.SGD if nesterov else nn.Momentum
    extra = {"nesterov": True} if nesterov else {}
    return kind(
        parameter_groups(network.trainable_params()),
        learning_rate=Tensor(rates),
        momentum=momentum,
        weight_decay=weight_decay,
        **extra,
    )
