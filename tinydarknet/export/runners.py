"""Runs exported files, for those who compare them and those who predict with them; each kind imports only its own engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from convert.errors import UserError

Inputs = tuple[np.ndarray, ...]
Runner = Callable[[Inputs], np.ndarray]
"""Inputs of one batch to the output, float32 [B, classes]."""


def open_onnx(path: Path, threads: int = 0) -> Runner:
    """Open an ONNX file in onnxruntime on the CPU; 0 threads for onnxruntime's choice.

    Raises:
        UserError: onnxruntime is missing, or the file is no ONNX file.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError("running an ONNX file needs the package onnxruntime: pip install onnxruntime") from error
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exception types share no public base
        raise UserError(f"{path} is damaged or no ONNX file: export it again") from error
    names = [entry.name for entry in session.get_inputs()]
    return lambda inputs: np.asarray(session.run(None, dict(zip(names, inputs, strict=True)))[0])


def open_mindir(path: Path) -> Runner:
    """Open a MINDIR file in MindSpore, whose device has been chosen.

    Raises:
        UserError: the file is no MINDIR file.
    """
    import mindspore as ms

    try:
        network = ms.nn.GraphCell(ms.load(str(path)))
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{path} is damaged or no MINDIR file: export it again") from error
    return lambda inputs: network(*map(ms.Tensor, inputs)).asnumpy()


def run_in_batches(run: Runner, inputs: Inputs, batch: int) -> np.ndarray:
    """Run any number of images through a network that takes exactly `batch`; a short last batch is filled up."""
    parts = []
    for part in batches_of(inputs, batch):
        count = len(part[0])
        filled = tuple(np.resize(array, (batch, *array.shape[1:])) for array in part)
        parts.append(run(filled)[:count])
    return np.concatenate(parts)


def batches_of(inputs: Inputs, batch: int) -> Iterable[Inputs]:
    """Cut inputs into batches; the last may be short."""
    for start in range(0, len(inputs[0]), batch):
        yield tuple(array[start : start + batch] for array in inputs)
