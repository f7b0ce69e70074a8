"""Darknet's own pretrained weights -> a checkpoint: `python -m tinydarknet.darknet_weights FILE.weights OUT.ckpt`."""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro

from convert.cli import Command, main_single
from convert.errors import UserError
from tinydarknet.model.architecture import HEAD_NAME, LayerShape, layer_shapes

if TYPE_CHECKING:
    from tinydarknet.model.checkpoint import Checkpoint

DARKNET_SUFFIX = ".weights"
HEADER_BYTES = 16
"""Four int32: major, minor, revision, images seen (Darknet before 0.2 counts in 4 bytes)."""

DARKNET_CLASSES = 1000


@dataclass(frozen=True)
class ImportOptions:
    """Turn Darknet's tiny.weights into a checkpoint whose classes are in sorted wnid order."""

    weights: Annotated[Path, tyro.conf.Positional]
    """Darknet's file, such as tiny.weights."""
    out: Annotated[Path, tyro.conf.Positional]
    """The checkpoint to write."""
    classes: Path | None = None
    """TSV with columns index, wnid, devkit_id and name; by default the project's ImageNet table."""


def read_darknet_weights(path: Path, devkit_ids: np.ndarray) -> dict[str, np.ndarray]:
    """Read a Tiny-DarkNet's weights as Darknet stores them; the last layer's rows go into the order of `devkit_ids`.

    Darknet writes layer by layer (parser.c, save_convolutional_weights): biases, then for layers with batch norm
    scales, means and variances, then weights out-in-height-width, all float32. Its class d is devkit id d + 1.

    Args:
        path: the file.
        devkit_ids: of the classes in the order wanted, int [1000], 1 to 1000 each once.

    Returns:
        float32 arrays by parameter name, for variant "darknet" with 1,000 classes.

    Raises:
        UserError: the file is missing, of another size or of another Darknet version.
    """
    if not path.is_file():
        raise UserError(f"no weights at {path}: check the path")
    shapes = layer_shapes(DARKNET_CLASSES, "darknet")
    sizes = [_entries(shape) for shape in shapes]
    expected_bytes = HEADER_BYTES + 4 * sum(size for entries in sizes for _, size, _ in entries)
    data = path.read_bytes()
    if len(data) != expected_bytes:
        raise UserError(
            f"{path} has {len(data)} bytes, Tiny-DarkNet's weights have {expected_bytes}: use the published tiny.weights"
        )
    major, minor, _, _ = np.frombuffer(data, "<i4", 4)
    if (major, minor) != (0, 1):
        raise UserError(
            f"{path} is of Darknet's weight version {major}.{minor}, only 0.1 is known: use the published tiny.weights"
        )
    values = np.frombuffer(data, "<f4", offset=HEADER_BYTES)
    if not np.isfinite(values).all():
        raise UserError(f"{path} holds numbers that are not finite, it is damaged: use the published tiny.weights")
    arrays, start = {}, 0
    for entries in sizes:
        for name, size, shape in entries:
            arrays[name] = values[start : start + size].reshape(shape)
            start += size
    for name in (f"{HEAD_NAME}.conv.weight", f"{HEAD_NAME}.conv.bias"):
        arrays[name] = arrays[name][np.asarray(devkit_ids) - 1]
    return arrays


def _entries(shape: LayerShape) -> list[tuple[str, int, tuple[int, ...]]]:
    """(parameter name, values, shape) in the file's order."""
    channels = (shape.out_channels,)
    weight = (shape.out_channels, shape.in_channels, shape.kernel, shape.kernel)
    vectors = ("bn.beta", "bn.gamma", "bn.moving_mean", "bn.moving_variance") if shape.normalized else ("conv.bias",)
    entries = [(f"{shape.name}.{vector}", shape.out_channels, channels) for vector in vectors]
    return [*entries, (f"{shape.name}.conv.weight", int(np.prod(weight)), weight)]


def import_darknet(options: ImportOptions) -> None:
    """Carry out the command."""
    convert_darknet(options.weights, options.out, options.classes)
    print(
        f"wrote {options.out}: Tiny-DarkNet with {DARKNET_CLASSES} classes in sorted wnid order, from {options.weights.name}"
    )


def convert_darknet(weights: Path, out: Path, classes_path: Path | None = None) -> None:
    """Write the checkpoint `out` with Darknet's `weights`; arguments and errors are those of `load_darknet`."""
    from tinydarknet.model import checkpoint

    loaded = load_darknet(weights, classes_path)
    checkpoint.save(out, checkpoint.build_network(loaded), loaded.description)


def load_darknet(weights: Path, classes_path: Path | None = None) -> Checkpoint:
    """Read Darknet's `weights` as if they were a checkpoint; classes by the table at `classes_path`, or ImageNet's.

    Raises:
        UserError: the weights or the table are not what they should be.
    """
    from convert.dataset.classes import load_imagenet1k, read_table
    from convert.dataset.manifest import ClassEntry
    from tinydarknet.colour import DARKNET
    from tinydarknet.model.checkpoint import Checkpoint
    from tinydarknet.model.description import Description, ModelDescription

    table = load_imagenet1k() if classes_path is None else read_table(classes_path)
    if sorted(entry.devkit_id for entry in table) != list(range(1, DARKNET_CLASSES + 1)):
        raise UserError(f"the class table {classes_path} must give each devkit_id from 1 to {DARKNET_CLASSES} once")
    arrays = read_darknet_weights(weights, np.array([entry.devkit_id for entry in table]))
    classes = tuple(ClassEntry(entry.wnid, entry.name) for entry in table)
    model = ModelDescription("darknet", classes, DARKNET, image_size=224, source=weights.name)
    return Checkpoint(weights, arrays, {}, Description(model))


def load_any(path: Path) -> Checkpoint:
    """Read a checkpoint of ours or of ModelZoo's (.ckpt), or Darknet's own file (.weights).

    Raises:
        UserError: missing, unreadable, damaged, or not a Tiny-DarkNet.
    """
    from tinydarknet.model import checkpoint

    return load_darknet(path) if path.suffix == DARKNET_SUFFIX else checkpoint.load(path)


def main() -> None:
    """Run the command line."""
    main_single("python -m tinydarknet.darknet_weights", Command(ImportOptions, import_darknet))


if __name__ == "__main__":
    main()
