"""A design as a MindSpore network, for MINDIR and AIR."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.train.mind_ir_pb2 import ModelProto

from tinydarknet.export.design import Design, InputKind, InputSpec
from tinydarknet.model.architecture import HEAD_NAME
from tinydarknet.model.checkpoint import fill
from tinydarknet.model.description import ModelDescription
from tinydarknet.model.inputs import Classifier, PlanesToRgb, RgbImage, RgbPixels
from tinydarknet.model.network import ConvBlock, LeakyReLU, SpatialMean, TinyDarkNet


def input_cell(kind: InputKind, model: ModelDescription) -> nn.Cell:
    """The first cell for a kind of input."""
    cells = {"planes": PlanesToRgb, "rgb_normalized": RgbImage}
    return cells[kind]() if kind in cells else RgbPixels(model.normalization)


def write_with_mindspore(design: Design, path: Path, file_format: str) -> None:
    """Write MINDIR, or AIR on Ascend; MindSpore makes the file and its folder private to their owner."""
    examples = [_example(spec, design.batch) for spec in design.inputs]
    ms.export(build_cell(design), *examples, file_name=str(path), file_format=file_format.upper())


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
    head = _Probabilities() if design.output == "probabilities" else None
    cell = (_OfPlanes if design.input == "planes" else _OfImage)(classifier, head)
    return cell.set_train(False)


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


class _Probabilities(nn.Cell):
    """Softmax of logits [B, classes]."""

    def construct(self, logits: Tensor) -> Tensor:
        return ops.softmax(logits, axis=1)


class _OfImage(nn.Cell):
    """Gives the file's input its name, which MindSpore takes from the argument."""

    def __init__(self, classifier: Classifier, head: nn.Cell | None) -> None:
        super().__init__(auto_prefix=False)
        self.classifier = classifier
        self.head = head

    def construct(self, image: Tensor) -> Tensor:
        logits = self.classifier(image)
        return logits if self.head is None else self.head(logits)


class _OfPlanes(_OfImage):
    """The same for planes."""

    def construct(self, y: Tensor, uv: Tensor, colour: Tensor) -> Tensor:
        logits = self.classifier(y, uv, colour)
        return logits if self.head is None else self.head(logits)


GRAPH_NAME = "TinyDarkNet"


def name_plainly(path: Path, output: str) -> None:
    """Rewrite a file that nobody uses yet: inputs, parameters and nodes lose their prefix, the output is called `output`.

    `479_1_tinydarknet_exporting_cells__OfImage_construct_56:image` becomes `image`. A constant that has the name of an
    input, which MindSpore allows because of the prefix, is renamed.
    """
    model = ModelProto.FromString(path.read_bytes())
    graph = model.graph
    prefix = f"{graph.name}:"
    values = [*graph.input, *graph.parameter]
    names = {value.name: value.name.removeprefix(prefix) for value in values}
    names |= {value.name: output for value in graph.output}
    taken = set(names.values())
    for node in graph.node:
        for name in node.output:
            if name not in names:
                plain = name.removeprefix(prefix)
                names[name] = f"{plain}_of_graph" if plain in taken else plain
    for value in [*values, *graph.output]:
        value.name = names[value.name]
    for node in graph.node:
        node.name = names.get(node.name, node.name)
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    graph.name = GRAPH_NAME
    path.write_bytes(model.SerializeToString())
