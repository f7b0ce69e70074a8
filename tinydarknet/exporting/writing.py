"""Writes exported networks, reloads them, compares them with the checkpoint's, and only then publishes them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from convert.errors import UserError
from convert.files import publish, sha256_file, write_bytes
from tinydarknet import device as devices
from tinydarknet.exporting.options import ExportOptions, FileFormat
from tinydarknet.exporting.samples import sample_inputs
from tinydarknet.model.checkpoint import Checkpoint, build_network, load
from tinydarknet.model.description import ModelDescription
from tinydarknet.model.inputs import Classifier, PlanesToRgb, RgbPixels

LOGITS_TOLERANCE = 1e-4
"""Largest |difference| of a logit between the exported network and the checkpoint's, float32."""

OUTPUT_NAME = "logits"
INPUT_NAMES = {"rgb_uint8": ("image",), "rgb_float": ("image",), "planes": ("y", "uv", "colour")}


def export_all(options: ExportOptions) -> None:
    """Write every wanted format, or none that failed its comparison.

    Raises:
        UserError: unreadable checkpoint, missing packages, or an export that computes something else.
    """
    checkpoint = load(options.checkpoint_path)
    model = checkpoint.description.model
    size = options.image_size or model.image_size
    inputs, origin = sample_inputs(options.input, size, model.normalization, options.data_path)
    expected = _classifier(checkpoint, options)(*map(Tensor, inputs)).asnumpy()
    options.out_dir.mkdir(parents=True, exist_ok=True)
    for file_format in options.file_format:
        final = options.out_dir / getattr(options, f"{file_format}_filename")
        # MindSpore makes the folder it exports to private to its owner: let that be a temporary one
        with tempfile.TemporaryDirectory(prefix=".export-", dir=options.out_dir) as folder:
            temporary = Path(folder) / final.name
            _write(_classifier(checkpoint, options), temporary, file_format, inputs, options)
            worst = _compare(temporary, file_format, inputs, expected, options)
            _publish(temporary, final)
        card = _card(
            final,
            file_format,
            model,
            inputs,
            options,
            {"images": len(expected), "origin": origin, "max_abs_difference": worst},
        )
        write_bytes(
            final.with_name(final.name + ".json"), (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode()
        )
        print(f"wrote {final}: {len(expected)} {origin}, max |difference| {worst:.2e}, top-1 all equal")


def _classifier(checkpoint: Checkpoint, options: ExportOptions) -> Classifier:
    """A fresh network: MindSpore exports one instance to ONNX only once."""
    normalization = checkpoint.description.model.normalization
    images = PlanesToRgb() if options.input == "planes" else RgbPixels(normalization)
    classifier = Classifier(images, build_network(checkpoint))
    return classifier.set_train(False)


def _write(
    network: nn.Cell, path: Path, file_format: FileFormat, inputs: tuple[np.ndarray, ...], options: ExportOptions
) -> None:
    batch = options.batch or 1
    examples = [Tensor(np.resize(array, (batch, *array.shape[1:]))) for array in inputs]
    if file_format == "onnx":
        names = INPUT_NAMES[options.input]
        _export_onnx(network, examples, path, names, dynamic=options.batch == 0)
        return
    if options.batch == 0:
        examples = [
            Tensor(shape=[None, *array.shape[1:]], dtype=example.dtype)
            for array, example in zip(inputs, examples, strict=True)
        ]
    ms.export(network, *examples, file_name=str(path), file_format=file_format.upper())


def _export_onnx(network: nn.Cell, examples: list[Tensor], path: Path, names: tuple[str, ...], dynamic: bool) -> None:
    try:
        import onnx
    except ImportError as error:
        raise UserError(
            "exporting ONNX needs the packages onnx and onnxruntime: pip install onnx onnxruntime"
        ) from error
    from mindspore import onnx as exporter

    axes: dict[str, Any] = {"dynamic_axes": {name: {0: "batch"} for name in names}} if dynamic else {}
    exporter.export(
        network, *examples, file_name=str(path), input_names=list(names), output_names=[OUTPUT_NAME], **axes
    )
    graph = onnx.load(str(path))
    if dynamic:
        # the exporter leaves the example's batch in the output's declared shape
        graph.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.checker.check_model(graph, full_check=True)
    path.unlink()
    onnx.save(graph, str(path))


def _compare(
    path: Path, file_format: FileFormat, inputs: tuple[np.ndarray, ...], expected: np.ndarray, options: ExportOptions
) -> float:
    if file_format == "air":
        raise UserError("an AIR file cannot be reloaded to compare it: export MINDIR and ONNX, and convert with atc")
    run = _onnx_runner(path) if file_format == "onnx" else _mindir_runner(path)
    worst = 0.0
    for batch in {options.batch} if options.batch else {1, len(expected)}:
        for start in range(0, len(expected) - batch + 1, batch):
            part = run(tuple(array[start : start + batch] for array in inputs))
            worst = max(worst, float(np.abs(part - expected[start : start + batch]).max()))
            if worst > LOGITS_TOLERANCE or (part.argmax(1) != expected[start : start + batch].argmax(1)).any():
                raise UserError(
                    f"the exported {file_format} network differs from the checkpoint's by {worst:.2e} in a logit "
                    f"(at most {LOGITS_TOLERANCE:.0e} is accepted): nothing was written"
                )
    return worst


Runner = Callable[[tuple[np.ndarray, ...]], np.ndarray]


def _onnx_runner(path: Path) -> Runner:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    return lambda inputs: np.asarray(session.run([OUTPUT_NAME], dict(zip(names, inputs, strict=True)))[0])


def _mindir_runner(path: Path) -> Runner:
    network = nn.GraphCell(ms.load(str(path)))
    return lambda inputs: network(*map(Tensor, inputs)).asnumpy()


def _publish(temporary: Path, final: Path) -> None:
    staged = final.with_name(f".{final.name}.tmp")
    temporary.replace(staged)
    publish(staged, final)


def _card(
    final: Path,
    file_format: FileFormat,
    model: ModelDescription,
    inputs: tuple[np.ndarray, ...],
    options: ExportOptions,
    comparison: dict[str, Any],
) -> dict[str, Any]:
    batch = options.batch or "any"
    return {
        "file": final.name,
        "sha256": sha256_file(final),
        "format": file_format,
        "network": {"variant": model.variant, "source": model.source, "image_size": int(inputs[0].shape[-1])},
        "inputs": [
            {"name": name, "dtype": str(array.dtype), "shape": [batch, *array.shape[1:]]}
            for name, array in zip(INPUT_NAMES[options.input], inputs, strict=True)
        ],
        "outputs": [{"name": OUTPUT_NAME, "dtype": "float32", "shape": [batch, model.num_classes]}],
        "preprocessing": {
            "outside": "square centre crop of 224/256 of the short side, resized to image_size, RGB, 0 to 255",
            "inside": "normalisation",
            "mean_grey_levels": list(model.normalization.mean),
            "std_grey_levels": list(model.normalization.std),
        },
        "classes": [{"wnid": entry.wnid, "name": entry.name} for entry in model.classes],
        "comparison": comparison,
        "versions": devices.versions(),
    }
