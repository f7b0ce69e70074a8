"""Plain names in a MINDIR file: MindSpore's exporter puts the name of its Python function before every one."""

from __future__ import annotations

from pathlib import Path

from mindspore.train.mind_ir_pb2 import ModelProto

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
