"""ONNX of float32 -> ONNX of 8 bits, by onnxruntime's own static quantiser.

Activations uint8, weights int8 for each output channel, ranges from the least and the greatest value seen. Of nine ways tried
on Darknet's weights this lost least (docs/export.md). Preprocessing and softmax stay float32.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tinydarknet.exporting.design import Design
from tinydarknet.exporting.running import Inputs, batches_of
from tinydarknet.exporting.samples import Planes

CALIBRATION_IMAGES = 128

_OPERATORS = ["Conv", "LeakyRelu", "MaxPool"]


def quantize(source: Path, target: Path, design: Design, images: Iterator[Planes]) -> None:
    """Quantise an ONNX file of a folded design, calibrated on the first CALIBRATION_IMAGES of `images`."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        """Hands the quantiser one batch after the other."""

        def __init__(self) -> None:
            self._batches = _calibration_inputs(design, images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self._batches, None)
            names = (spec.name for spec in design.inputs)
            return None if batch is None else dict(zip(names, batch, strict=True))

    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it recommends a preprocessing that folding has done already
    try:
        quantization.quantize_static(
            str(source),
            str(target),
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=_OPERATORS,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
    finally:
        logger.setLevel(level)


def _calibration_inputs(design: Design, images: Iterator[Planes]) -> Iterator[Inputs]:
    """Batches that the network takes; with a fixed batch, images that fill none are left out."""
    singles = itertools.chain.from_iterable(
        batches_of(part.inputs(design.input, design.model.normalization), 1) for part in images
    )
    batch = design.batch or 1
    wanted = itertools.islice(singles, max(CALIBRATION_IMAGES, batch))
    while len(group := list(itertools.islice(wanted, batch))) == batch:
        yield tuple(np.concatenate(column) for column in zip(*group, strict=True))
