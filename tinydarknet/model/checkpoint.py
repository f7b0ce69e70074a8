"""Checkpoints: written whole or not at all, checked when read, described from inside.

A checkpoint holds the network's parameters by their names, the state of a run (optimiser, what else resuming needs)
under names that begin with `STATE_PREFIX`, and one JSON text (`description.Description`). It is MindSpore's own format with
its checksum, readable by `mindspore.load_checkpoint`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

from convert.durable_files import published
from convert.errors import UserError
from tinydarknet.colour import IMAGENET
from tinydarknet.model.architecture import HEAD_NAME, VariantName
from tinydarknet.model.description import Description, ModelDescription, plain_classes
from tinydarknet.model.network import TinyDarkNet

DESCRIPTION_ENTRY = "description"
STATE_PREFIX = "state."
"""Of everything that is no weight: never confused with one, whatever the loader strips from names."""

NO_STATE: Mapping[str, Parameter] = MappingProxyType({})

HEAD_CONV = f"{HEAD_NAME}.conv.weight"
HEAD_BN = f"{HEAD_NAME}.bn.gamma"


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds."""

    path: Path
    weights: dict[str, np.ndarray]
    """By parameter name."""
    state: dict[str, np.ndarray]
    """By name without STATE_PREFIX; empty in foreign files."""
    description: Description


def save(path: Path, network: nn.Cell, description: Description) -> None:
    """Write the network's parameters, by their own names, and the description."""
    write(path, {parameter.name: parameter for parameter in network.get_parameters()}, description)


def write(
    path: Path, weights: Mapping[str, Parameter], description: Description, state: Mapping[str, Parameter] = NO_STATE
) -> None:
    """Write weights and a run's state under the names given, and the description, to `path`, atomically, mode 0644.

    Raises:
        UserError: it cannot be written.
    """
    entries = [{"name": name, "data": Tensor(p.asnumpy())} for name, p in weights.items()]
    entries += [{"name": STATE_PREFIX + name, "data": Tensor(p.asnumpy())} for name, p in state.items()]
    extra = {DESCRIPTION_ENTRY: description.to_json()}
    try:
        with published(path) as temporary:
            # a leftover of a killed process with our number: MindSpore made it read-only
            temporary.unlink(missing_ok=True)
            try:
                ms.save_checkpoint(entries, str(temporary), integrated_save=False, append_dict=extra, crc_check=True)
            finally:
                temporary.with_suffix(".tmp").unlink(missing_ok=True)  # MindSpore's own, where it failed
    except OSError as error:
        raise UserError(
            f"cannot write the checkpoint {path} ({error.strerror}): make room, or check its folder"
        ) from error


def load(path: Path) -> Checkpoint:
    """Read and check a checkpoint of ours or of ModelZoo's.

    Raises:
        UserError: missing, unreadable, damaged, or not a Tiny-DarkNet.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}: check the path")
    try:
        entries = ms.load_checkpoint(str(path), crc_check=True)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"{path} is damaged or no MindSpore checkpoint: use another one") from error
    text = entries.pop(DESCRIPTION_ENTRY, None)
    arrays = {name: value.asnumpy() for name, value in entries.items() if isinstance(value, Tensor)}
    if HEAD_CONV not in arrays:
        raise UserError(f"{path} is no Tiny-DarkNet checkpoint, it has no {HEAD_CONV}: use another one")
    try:
        description = Description.from_json(text) if isinstance(text, str) else _guess(path, arrays)
    except ValueError as error:
        raise UserError(
            f"{path} cannot be read by this version ({error}): use the version that wrote it, or another checkpoint"
        ) from error
    names = {p.name for p in TinyDarkNet(description.model.num_classes, description.model.variant).get_parameters()}
    state = {n.removeprefix(STATE_PREFIX): a for n, a in arrays.items() if n.startswith(STATE_PREFIX)}
    return Checkpoint(path, {n: a for n, a in arrays.items() if n in names}, state, description)


def _guess(path: Path, arrays: Mapping[str, np.ndarray]) -> Description:
    """Describe a file without description: ModelZoo's layout and recipe, classes unnamed."""
    variant: VariantName = "modelzoo" if HEAD_BN in arrays else "darknet"
    classes = plain_classes(len(arrays[HEAD_CONV]))
    return Description(ModelDescription(variant, classes, IMAGENET, image_size=224, source=path.name))


def fill(parameters: Iterable[Parameter], arrays: Mapping[str, np.ndarray], what: str) -> None:
    """Set every one of `parameters` from `arrays`, by its own name; see `fill_named`."""
    fill_named({parameter.name: parameter for parameter in parameters}, arrays, what)


def fill_named(parameters: Mapping[str, Parameter], arrays: Mapping[str, np.ndarray], what: str) -> None:
    """Set every one of `parameters` from `arrays`, by the name given; anything missing or misshapen is refused.

    MindSpore's own `load_param_into_net` would load optimiser state as weights where a weight is missing.

    Raises:
        UserError: names the first parameter that is missing or of another shape; `what` names the file.
    """
    for name, parameter in parameters.items():
        if name not in arrays:
            raise UserError(
                f"{what} has no {name}, it belongs to another network or another MindSpore version: use another one"
            )
        array = arrays[name]
        if array.shape != parameter.shape:
            raise UserError(
                f"{what} has {name} of shape {array.shape}, the network needs {parameter.shape}: "
                "use one made for these classes and this variant"
            )
        parameter.set_data(Tensor(array, parameter.dtype))


def build_network(checkpoint: Checkpoint) -> TinyDarkNet:
    """The network that a checkpoint describes, with its weights, ready to infer.

    Raises:
        UserError: weights are missing or of other shapes.
    """
    model = checkpoint.description.model
    network = TinyDarkNet(model.num_classes, model.variant)
    fill(network.get_parameters(), checkpoint.weights, str(checkpoint.path))
    network.set_train(False)
    return network
