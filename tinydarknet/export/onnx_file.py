"""A design as an ONNX graph, layer by layer from the architecture's table.

MindSpore's own exporter is not used: its graph is of opset 11, which cannot be quantised per channel, spells the leaky
ReLU as four nodes, names nodes after the wrong layers, and takes 1.7 times as much CPU time in onnxruntime (docs/export.md).
That both compute the same is what checks.py is for.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.errors import UserError
from tinydarknet.export.design import Design, InputSpec
from tinydarknet.export.runners import Inputs, batches_of
from tinydarknet.export.samples import Planes

if TYPE_CHECKING:
    from onnx import ModelProto

    from tinydarknet.model.architecture import LayerShape


OPSET = 13
"""The first with quantisation per channel; atc takes it too."""
IR_VERSION = 7
"""Of the ONNX release that brought opset 13, so that older runtimes read the file."""

CALIBRATION_IMAGES = 128
_QUANTIZED_OPERATORS = ["Conv", "LeakyRelu", "MaxPool"]


def build_onnx(design: Design) -> ModelProto:
    """The checked model; its inputs and its output are named as in the design.

    Raises:
        UserError: the package onnx is missing.
    """
    _import_onnx()
    from onnx import checker, helper

    graph = _Graph()
    features = _preprocessing(graph, design)
    for shape in design.shapes:
        is_linear_head = not (shape.normalized or shape.pool)
        if is_linear_head:
            # the head is linear: its output for the mean is the mean of its outputs, at 1/196 of the work
            features = graph.node("GlobalAveragePool", [features], "mean")
        features = _layer(graph, design, shape, features)
    if design.traits.normalized_head:
        features = graph.node("GlobalAveragePool", [features], "mean")
    is_last = design.output == "logits"
    outcome = graph.node("Flatten", [features], "logits", axis=1)
    if not is_last:
        outcome = graph.node("Softmax", [outcome], "probabilities", axis=1)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "tinydarknet",
            [_value(design, spec) for spec in design.inputs],
            [_value(design, InputSpec(outcome, "float32", (design.model.num_classes,)))],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="tinydarknet",
    )
    checker.check_model(model, full_check=True)
    return model


def _import_onnx() -> None:
    # MindSpore's generated protobuf code cannot be imported after onnx's
    import mindspore  # noqa: F401

    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise UserError(
            "exporting ONNX needs the packages onnx and onnxruntime: pip install onnx onnxruntime"
        ) from error


class _Graph:
    """Nodes and constants in the making; a node is called as what it makes."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def constant(self, name: str, array: np.ndarray) -> str:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        return self.split(operator, inputs, name, [name], **attributes)[0]

    def split(self, operator: str, inputs: list[str], name: str, outputs: list[str], **attributes: Any) -> list[str]:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, **attributes))
        return outputs


def _value(design: Design, spec: InputSpec) -> Any:
    from onnx import helper

    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    return helper.make_tensor_value_info(spec.name, dtype, [design.batch or "batch", *spec.shape])


def _preprocessing(graph: _Graph, design: Design) -> str:
    """From the inputs to normalised RGB, float32 [B, 3, S, S]: what the cells of model/inputs.py compute."""
    if design.input == "rgb_normalized":
        return "image"
    if design.input == "planes":
        return _planes_to_rgb(graph, design.image_size)
    pixels = "image" if design.input == "rgb_float" else _cast(graph, "image")
    scale = 1 / np.asarray(design.model.normalization.std)
    shift = -np.asarray(design.model.normalization.mean) * scale
    for operator, name, factor in (("Mul", "scale", scale), ("Add", "shift", shift)):
        constant = graph.constant(f"normalization.{name}", factor.astype(np.float32).reshape(1, 3, 1, 1))
        pixels = graph.node(operator, [pixels, constant], f"preprocessing/{name}")
    return pixels


def _planes_to_rgb(graph: _Graph, image_size: int) -> str:
    """One product with each image's colour matrix; a chroma sample serves its 2x2 pixels."""
    scales = graph.constant("chroma.scales", np.array([1, 1, 2, 2], np.float32))
    chroma = graph.node(
        "Resize", [_cast(graph, "uv"), "", scales], "preprocessing/chroma",
        mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric",
    )  # fmt: skip
    planes = graph.node("Concat", [_cast(graph, "y"), chroma], "preprocessing/planes", axis=1)
    rows = graph.constant("rows.shape", np.array([0, 3, -1], np.int64))
    rows = graph.node("Reshape", [planes, rows], "preprocessing/rows")
    sizes = graph.constant("colour.sizes", np.array([3, 1], np.int64))
    names = ["preprocessing/linear", "preprocessing/offset"]
    linear, offset = graph.split("Split", ["colour", sizes], "preprocessing/colour", names, axis=2)
    mixed = graph.node("MatMul", [linear, rows], "preprocessing/mixed")
    moved = graph.node("Add", [mixed, offset], "preprocessing/moved")
    square = graph.constant("rgb.shape", np.array([0, 3, image_size, image_size], np.int64))
    return graph.node("Reshape", [moved, square], "preprocessing/rgb")


def _cast(graph: _Graph, name: str) -> str:
    from onnx import TensorProto

    return graph.node("Cast", [name], f"preprocessing/{name}_float", to=TensorProto.FLOAT)


def _layer(graph: _Graph, design: Design, shape: LayerShape, features: str) -> str:
    """Convolution, batch norm, leaky ReLU, pool.

    The pool comes last here, before the leaky ReLU in the checkpoint's network: both are monotone, so the result is
    the same, and onnxruntime computes a leaky ReLU within the convolution before it.
    """

    def weight(name: str) -> str:
        return graph.constant(f"{shape.name}.{name}", design.weights[f"{shape.name}.{name}"])

    inputs = [features, weight("conv.weight")]
    if design.folded or not shape.normalized:
        inputs.append(weight("conv.bias"))
    features = graph.node(
        "Conv", inputs, f"{shape.name}/conv", kernel_shape=[shape.kernel] * 2, pads=[shape.kernel // 2] * 4
    )
    if shape.normalized and not design.folded:
        statistics = [weight(f"bn.{name}") for name in ("gamma", "beta", "moving_mean", "moving_variance")]
        features = graph.node(
            "BatchNormalization", [features, *statistics], f"{shape.name}/batch_norm", epsilon=design.traits.bn_epsilon
        )
    if shape.normalized:
        features = graph.node("LeakyRelu", [features], f"{shape.name}/leaky_relu", alpha=design.traits.slope)
    if shape.pool:
        features = graph.node("MaxPool", [features], f"{shape.name}/pool", kernel_shape=[2, 2], strides=[2, 2])
    return features


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
            op_types_to_quantize=_QUANTIZED_OPERATORS,
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
