"""The JSON beside an exported file: what goes in, what comes out, what it was made of and compared with.

Written by the export, read by predictions; neither MindSpore nor ONNX here.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from convert.errors import UserError
from convert.files import sha256_file, write_bytes
from convert.manifest import ClassEntry
from tinydarknet.exporting.design import OutputKind

CARD_VERSION = 1
ANY_BATCH = "any"


@dataclass(frozen=True)
class TensorEntry:
    """One input or output."""

    name: str
    dtype: str
    """numpy's name."""
    shape: tuple[int | str, ...]
    """With the batch first: images per call, or "any"."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What the user of an exported file has to know about it."""

    file: str
    sha256: str
    format: str
    """onnx, mindir, air or om."""
    precision: str
    """float32 or int8."""
    network: dict[str, Any]
    """Variant, source of the weights, whether batch norms are folded."""
    inputs: tuple[TensorEntry, ...]
    outputs: tuple[TensorEntry, ...]
    preprocessing: dict[str, Any]
    """What to do to an image before it goes in, and what is done inside."""
    opset: int | None
    """Of ONNX."""
    classes: tuple[ClassEntry, ...]
    """In the order of the output."""
    comparison: dict[str, Any] | None
    """With the checkpoint; None where the file cannot be reloaded."""
    accuracy: dict[str, Any] | None
    """Hits on an evaluation set, where one was given."""
    float32_accuracy: dict[str, Any] | None = None
    """Of an int8 file: what it was before."""
    training_dataset_digest: str | None
    """Of the dataset that the weights were trained on, where known."""
    versions: dict[str, str]

    @property
    def image_size(self) -> int:
        """Side of the square image, pixels."""
        return int(self.inputs[0].shape[-1])

    @property
    def batch(self) -> int | None:
        """Images per call; None for any number."""
        batch = self.inputs[0].shape[0]
        return None if batch == ANY_BATCH else int(batch)

    @property
    def output(self) -> OutputKind:
        """What comes out."""
        name = self.outputs[0].name
        for kind in get_args(OutputKind):
            if kind == name:
                return kind
        raise ValueError(f"the output must be one of {get_args(OutputKind)}, got {name!r}")


def card_path(path: Path) -> Path:
    """Where the card of an exported file lies."""
    return path.with_name(path.name + ".json")


def write_card(path: Path, card: ModelCard) -> None:
    """Write the card of the exported file `path`."""
    fields = {"version": CARD_VERSION, **dataclasses.asdict(card)}
    write_bytes(card_path(path), (json.dumps(fields, indent=1, ensure_ascii=False) + "\n").encode())


def read_card(path: Path) -> ModelCard:
    """Read the card of the exported file `path`.

    Raises:
        UserError: it is missing or damaged, of another version, or of another file than this one.
    """
    beside = card_path(path)
    try:
        fields = json.loads(beside.read_bytes())
        version = fields.pop("version", None)
        if version != CARD_VERSION:
            raise UserError(f"{beside} is of version {version!r}, this program reads {CARD_VERSION}: export again")
        card = ModelCard(
            **{
                **fields,
                "inputs": tuple(TensorEntry(**entry) for entry in fields["inputs"]),
                "outputs": tuple(TensorEntry(**entry) for entry in fields["outputs"]),
                "classes": tuple(ClassEntry(**entry) for entry in fields["classes"]),
            }
        )
        _ = card.image_size, card.batch, card.output
    except FileNotFoundError as error:
        raise UserError(
            f"{path} has no card {beside.name} beside it, which names its classes: export it again"
        ) from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UserError(f"{beside} is damaged ({error}): export the network again") from error
    if card.sha256 != sha256_file(path):
        raise UserError(f"{path} is not the file that {beside.name} describes, its SHA-256 differs: export it again")
    return card
