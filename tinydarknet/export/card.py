"""The JSON beside an exported file: what goes in, what comes out, what it was made of and compared with.

Written by the export, read by predictions; neither MindSpore nor ONNX here.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from convert.dataset.manifest import ClassEntry
from convert.durable_files import sha256_file
from convert.errors import UserError
from convert.json_fields import from_json, parse_object, write_json
from tinydarknet.colour import plain_matrix
from tinydarknet.export.design import Design, InputKind, OutputKind
from tinydarknet.model.description import RunState

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
    """onnx, mindir or om."""
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
    write_json(card_path(path), {"version": CARD_VERSION, **dataclasses.asdict(card)})


def read_card(path: Path) -> ModelCard:
    """Read the card of the exported file `path`.

    Raises:
        UserError: it is missing or damaged, of another version, or of another file than this one.
    """
    beside = card_path(path)
    try:
        fields = parse_object(beside.read_bytes())
        version = fields.pop("version", None)
        if version != CARD_VERSION:
            raise UserError(f"{beside} is of version {version!r}, this program reads {CARD_VERSION}: export again")
        card: ModelCard = from_json(ModelCard, fields)
        _ = card.image_size, card.batch, card.output
    except FileNotFoundError as error:
        raise UserError(
            f"{path} has no card {beside.name} beside it, which names its classes: copy or rename the card along with the file, "
            "or export it again"
        ) from error
    except (ValueError, IndexError) as error:
        raise UserError(f"{beside} is damaged ({error}): export the network again") from error
    if card.sha256 != sha256_file(path):
        raise UserError(f"{path} is not the file that {beside.name} describes, its SHA-256 differs: export it again")
    return card


_SQUARE = "decode to RGB, cut the centre square of 224/256 of the short side, resize it to image_size"
_OUTSIDE: dict[InputKind, str] = {
    "rgb_uint8": f"{_SQUARE}; grey levels 0 to 255, channels first",
    "rgb_float": f"{_SQUARE}; grey levels 0 to 255 as float32, channels first",
    "rgb_normalized": f"{_SQUARE}; subtract the mean, divide by the standard deviation, channels first",
    "planes": f"{_SQUARE}; full-range BT.601 planes with chroma at half size, and the colour matrix below for each image",
}
_INSIDE: dict[InputKind, str] = {
    "rgb_uint8": "normalisation with the mean and the standard deviation",
    "rgb_float": "normalisation with the mean and the standard deviation",
    "rgb_normalized": "nothing",
    "planes": "chroma enlarged, then the colour matrix, which normalises as well",
}


def describe(
    design: Design,
    path: Path,
    file_format: str,
    *,
    run: RunState | None,
    opset: int | None,
    comparison: dict[str, Any] | None,
    accuracy: dict[str, Any] | None,
    versions: dict[str, str],
) -> ModelCard:
    """The card of the float32 file `path`; `run` is where the training of its weights stood, if known."""
    model, batch = design.model, design.batch or ANY_BATCH
    return ModelCard(
        file=path.name,
        sha256=sha256_file(path),
        format=file_format,
        precision="float32",
        network={
            "variant": model.variant,
            "source": model.source,
            "batch_norm_folded": design.folded,
            "training_step": run and run.step,
            "best_top1_until_then": run.best_top1 if run and run.best_top1 >= 0 else None,
        },
        inputs=tuple(TensorEntry(spec.name, spec.dtype, (batch, *spec.shape)) for spec in design.inputs),
        outputs=(TensorEntry(design.output, "float32", (batch, model.num_classes)),),
        preprocessing=_preprocessing(design),
        opset=opset,
        classes=model.classes,
        comparison=comparison,
        accuracy=accuracy,
        training_dataset_digest=run.dataset_digest if run else None,
        versions={**versions, "onnx": _version("onnx"), "onnxruntime": _version("onnxruntime")},
    )


def _preprocessing(design: Design) -> dict[str, Any]:
    normalization = design.model.normalization
    fields: dict[str, Any] = {
        "image_size": design.image_size,
        "outside": _OUTSIDE[design.input],
        "inside": _INSIDE[design.input],
        "mean_grey_levels": list(normalization.mean),
        "std_grey_levels": list(normalization.std),
    }
    if design.input == "planes":
        fields["colour_matrix"] = plain_matrix(normalization).tolist()
    return fields


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
