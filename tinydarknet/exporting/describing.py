"""From a design to the card beside its file."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from tinydarknet.colour import plain_matrix
from tinydarknet.exporting.card import ANY_BATCH, ModelCard, TensorEntry
from tinydarknet.exporting.design import Design, InputKind
from tinydarknet.model.description import RunState

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
    *,
    run: RunState | None,
    file: str,
    sha256: str,
    file_format: str,
    opset: int | None,
    comparison: dict[str, Any] | None,
    accuracy: dict[str, Any] | None,
    versions: dict[str, str],
) -> ModelCard:
    """The card of a float32 file; `run` is where the training of its weights stood, if known."""
    model, batch = design.model, design.batch or ANY_BATCH
    return ModelCard(
        file=file,
        sha256=sha256,
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
