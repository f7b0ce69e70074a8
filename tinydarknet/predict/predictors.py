"""Something that gives probabilities, from any file that holds the network; each kind imports only what it needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import softmax

from convert.dataset.manifest import ClassEntry
from convert.errors import UserError
from tinydarknet.config import DeviceConfig
from tinydarknet.export.card import ModelCard, read_card
from tinydarknet.export.design import OutputKind
from tinydarknet.export.runners import Runner, open_mindir, open_onnx, run_in_batches


@dataclass(frozen=True)
class Predictor:
    """A network ready to look at pixels."""

    classes: tuple[ClassEntry, ...]
    image_size: int
    """Side of the square image it takes, pixels."""
    batch: int | None
    """Images that one call must have; None for any number."""
    dtype: str
    """Of the pixels it takes: uint8 or float32."""
    output: OutputKind
    run: Runner
    """RGB pixels of `dtype` [B, 3, S, S] to float32 [B, classes]."""

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Float64 [B, classes] for RGB pixels uint8 [B, 3, S, S]."""
        inputs = (pixels.astype(self.dtype, copy=False),)
        answers = run_in_batches(self.run, inputs, self.batch or len(pixels)).astype(np.float64)
        if self.output == "probabilities":
            return answers
        return softmax(answers, axis=1)


def open_predictor(path: Path, device: DeviceConfig | None = None, threads: int = 0) -> Predictor:
    """Open a .ckpt, .weights, .onnx or .mindir file; the last two with their JSON card beside them.

    Args:
        path: the file.
        device: where MindSpore runs; an ONNX file needs no MindSpore and runs on the CPU.
        threads: of onnxruntime; 0 for its own choice.

    Raises:
        UserError: missing, damaged, of another kind, without card, or not for this device.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}: check the path")
    device = device or DeviceConfig()
    if path.suffix == ".onnx":
        if device.device_target not in ("auto", "CPU"):
            raise UserError(f"{path} runs on the CPU, not on {device.device_target}: use the .ckpt or the .mindir file")
        card = _card_of_pixels(path)
        return _from_card(card, open_onnx(path, threads))
    if path.suffix == ".mindir":
        card = _card_of_pixels(path)
        _set_up(device)
        return _from_card(card, open_mindir(path))
    if path.suffix in (".ckpt", ".weights"):
        _set_up(device)
        return _open_checkpoint(path)
    raise UserError(f"{path} is none of .ckpt, .weights, .onnx, .mindir: give a file of one of these kinds")


def _set_up(device: DeviceConfig) -> None:
    from tinydarknet import device as devices

    devices.set_up(device)


def _open_checkpoint(path: Path) -> Predictor:
    from mindspore import Tensor

    from tinydarknet.darknet_weights import load_any
    from tinydarknet.model.checkpoint import build_network
    from tinydarknet.model.inputs import Classifier, RgbPixels

    loaded = load_any(path)
    model = loaded.description.model
    network = Classifier(RgbPixels(model.normalization), build_network(loaded)).set_train(False)
    return Predictor(
        model.classes, model.image_size, None, "uint8", "logits", lambda inputs: network(Tensor(inputs[0])).asnumpy()
    )


def _from_card(card: ModelCard, run: Runner) -> Predictor:
    return Predictor(card.classes, card.image_size, card.batch, card.inputs[0].dtype, card.output, run)


def _card_of_pixels(path: Path) -> ModelCard:
    card = read_card(path)
    if len(card.inputs) != 1 or "normalisation" not in card.preprocessing.get("inside", ""):
        raise UserError(f"{path} takes no plain pixels: export with --input rgb_uint8 to predict with it")
    return card
