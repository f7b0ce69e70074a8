"""Something that gives probabilities, from any file that holds the network; each kind imports only what it needs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.errors import UserError
from convert.manifest import ClassEntry


@dataclass(frozen=True)
class Predictor:
    """A network ready to look at pixels."""

    classes: tuple[ClassEntry, ...]
    image_size: int
    """Side of the square image it takes, pixels."""
    batch: int
    """Images that one call must have; 0 for any number."""
    logits: Callable[[np.ndarray], np.ndarray]
    """RGB pixels uint8 [B, 3, S, S] to float32 [B, classes]."""

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Softmax of the logits, float64 [B, classes], for uint8 [B, 3, S, S]; short batches are filled up."""
        step = self.batch or len(pixels)
        parts = []
        for start in range(0, len(pixels), step):
            part = pixels[start : start + step]
            filled = np.concatenate([part, np.zeros((step - len(part), *part.shape[1:]), part.dtype)])
            parts.append(self.logits(filled)[: len(part)])
        logits = np.concatenate(parts).astype(np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


def open_predictor(path: Path) -> Predictor:
    """Open a .ckpt, .weights, .onnx or .mindir file; the last two with their JSON card beside them.

    Raises:
        UserError: missing, damaged, of another kind, or without card.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}: check the path")
    openers = {".ckpt": _open_checkpoint, ".weights": _open_darknet, ".onnx": _open_onnx, ".mindir": _open_mindir}
    if path.suffix not in openers:
        raise UserError(f"{path} is none of {', '.join(openers)}: give a file of one of these kinds")
    return openers[path.suffix](path)


def _open_checkpoint(path: Path) -> Predictor:
    from tinydarknet import device as devices
    from tinydarknet.config import DeviceConfig

    devices.set_up(DeviceConfig())
    from mindspore import Tensor

    from tinydarknet.model.checkpoint import build_network, load
    from tinydarknet.model.inputs import Classifier, RgbPixels

    loaded = load(path)
    model = loaded.description.model
    network = Classifier(RgbPixels(model.normalization), build_network(loaded)).set_train(False)
    return Predictor(model.classes, model.image_size, 0, lambda pixels: network(Tensor(pixels)).asnumpy())


def _open_darknet(path: Path) -> Predictor:
    import tempfile

    from tinydarknet.darknet_weights import convert_darknet

    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder) / "darknet.ckpt"
        convert_darknet(path, converted)
        return _open_checkpoint(converted)


def _open_onnx(path: Path) -> Predictor:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            "predicting with an ONNX file needs the package onnxruntime: pip install onnxruntime"
        ) from error
    classes, size, batch, dtype = _read_card(path)
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exception types share no public base
        raise UserError(f"{path} is damaged or no ONNX file: export it again") from error
    name = session.get_inputs()[0].name
    return Predictor(
        classes, size, batch, lambda pixels: np.asarray(session.run(None, {name: pixels.astype(dtype)})[0])
    )


def _open_mindir(path: Path) -> Predictor:
    classes, size, batch, dtype = _read_card(path)
    from tinydarknet import device as devices
    from tinydarknet.config import DeviceConfig

    devices.set_up(DeviceConfig())
    import mindspore as ms

    try:
        network = ms.nn.GraphCell(ms.load(str(path)))
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{path} is damaged or no MINDIR file: export it again") from error
    return Predictor(classes, size, batch, lambda pixels: network(ms.Tensor(pixels.astype(dtype))).asnumpy())


def _read_card(path: Path) -> tuple[tuple[ClassEntry, ...], int, int, np.dtype]:
    """Classes, image size, batch (0 for any) and input dtype from an export's card."""
    card_path = path.with_name(path.name + ".json")
    try:
        card = json.loads(card_path.read_bytes())
        classes = tuple(ClassEntry(entry["wnid"], entry["name"]) for entry in card["classes"])
        inputs = card["inputs"]
        batch, _, size, _ = inputs[0]["shape"]
        dtype = np.dtype(inputs[0]["dtype"])
    except FileNotFoundError as error:
        raise UserError(
            f"{path} has no card {card_path.name} beside it, which names its classes: export it again"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{card_path} is damaged ({error}): export the network again") from error
    if len(inputs) != 1:
        raise UserError(f"{path} takes planes, not pixels: export with --input rgb_uint8 to predict with it")
    return classes, size, 0 if batch == "any" else batch, dtype
