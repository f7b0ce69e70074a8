"""Batch norm folded into the convolution before it; pure."""

from __future__ import annotations

import dataclasses

import numpy as np

from tinydarknet.exporting.design import Design


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
