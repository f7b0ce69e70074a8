"""A design as a MindSpore network, and as a MINDIR file."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.train.mind_ir_pb2 import ModelProto

from tinydarknet.export.design import Design, InputKind, InputSpec, OutputKind
from tinydarknet.model.architecture import HEAD_NAME
from tinydarknet.model.checkpoint import fill
from tinydarknet.model.description import ModelDescription
from tinydarknet.model.inputs import Classifier, PlanesToRgb, RgbImage, RgbPixels
from tinydarknet.model.network import ConvBlock, LeakyReLU, SpatialMean, TinyDarkNet


def input_cell(kind: InputKind, model: ModelDescription) -> nn.Cell:
    """The first cell for a kind of input."""
    cells = {"planes": PlanesToRgb, "rgb_normalized": RgbImage}
    return cells[kind]() if kind in cells else RgbPixels(model.normalization)


def write_mindir(design: Design, path: Path) -> None:
    """Write it; MindSpore makes the file and its folder private to their owner."""
    examples = [_example(spec, design.batch) for spec in design.inputs]
    ms.export(build_cell(design), *examples, file_name=str(path), file_format="MINDIR")
    _name_as_card(path, design.output)


def _example(spec: InputSpec, batch: int | None) -> Tensor:
    dtype = getattr(ms, spec.dtype)
    if batch is None:
        return Tensor(shape=[None, *spec.shape], dtype=dtype)
    return Tensor(np.zeros((batch, *spec.shape)), dtype)


def build_cell(design: Design) -> nn.Cell:
    """The design as a cell in inference mode: its inputs to float32 [B, classes]."""
    network = _folded_network(design) if design.folded else TinyDarkNet(design.model.num_classes, design.model.variant)
    fill(network.get_parameters(), design.weights, design.model.source)
    classifier = Classifier(input_cell(design.input, design.model), network)
    return (_OfPlanes if design.input == "planes" else _OfImage)(classifier, design.output).set_train(False)


def _folded_network(design: Design) -> nn.Cell:
    """TinyDarkNet without batch norms: convolutions with biases."""
    cells: OrderedDict[str, nn.Cell] = OrderedDict()
    for shape in design.shapes:
        plain = shape._replace(normalized=False)
        weight = design.weights[f"{shape.name}.conv.weight"]
        cells[shape.name] = ConvBlock(plain, design.traits, weight, keep_argmax=False)
        if shape.normalized:
            cells[f"{shape.name}_activation"] = LeakyReLU(design.traits.slope)
    cells["mean"] = SpatialMean()
    if not design.traits.normalized_head:
        cells.move_to_end(HEAD_NAME)
    cells["flatten"] = nn.Flatten()
    return nn.SequentialCell(cells)


class _OfImage(nn.Cell):
    """Logits or probabilities; MindSpore names the file's inputs after the arguments."""

    def __init__(self, classifier: Classifier, output: OutputKind) -> None:
        super().__init__(auto_prefix=False)
        self.classifier = classifier
        self.gives_logits = output == "logits"

    def construct(self, image: Tensor) -> Tensor:
        return self.head(self.classifier(image))

    def head(self, logits: Tensor) -> Tensor:
        return logits if self.gives_logits else ops.softmax(logits, axis=1)


class _OfPlanes(_OfImage):
    """The same for planes."""

    def construct(self, y: Tensor, uv: Tensor, colour: Tensor) -> Tensor:
        return self.head(self.classifier(y, uv, colour))


def _name_as_card(path: Path, output: OutputKind) -> None:
    """Rename the inputs and the output of a file that nobody uses yet as its card has them.

    MindSpore calls them `479_1_tinydarknet_export_mindir_file__OfImage_construct_56:image`, by version and place of the
    source; who compiles the file for a device (converter_lite --inputShape=image:...) has to name them.
    """
    model = ModelProto.FromString(path.read_bytes())
    graph = model.graph
    names = {value.name: value.name.removeprefix(f"{graph.name}:") for value in graph.input}
    names |= {value.name: output for value in graph.output}
    for value in (*graph.input, *graph.output):
        value.name = names[value.name]
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    path.write_bytes(model.SerializeToString())
