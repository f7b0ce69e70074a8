"""What Ascend's compiler atc needs to make an OM file: its command, and the AIPP that normalises pixels on the device.

Written by CANN's documentation of atc; nothing here was run with a real atc or on Ascend.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from convert.errors import UserError
from tinydarknet.ascend import present_cards
from tinydarknet.colour import Normalization

ATC = "atc"
DYNAMIC_BATCHES = (1, 2, 4, 8, 16, 32, 64)
"""Images per call that an OM file of a dynamic batch is compiled for."""

_ONNX_FRAMEWORK = 5
_SOC_WITHOUT_CARD = "Ascend310P3"
_REASON = re.compile(r"^E[A-Z0-9]\d{4}: .+", re.MULTILINE)
"""atc tells its reasons by such a code, before it says that it has failed."""


def aipp_config(normalization: Normalization, image_size: int) -> str:
    """The AIPP configuration for packed RGB of 0 to 255, uint8 [B, S, S, 3].

    AIPP computes (pixel - mean_chn - min_chn) * var_reci_chn for each channel. mean_chn is an integer, so the mean goes
    into min_chn. The device holds min_chn and var_reci_chn as float16, so a normalised pixel may be off by 1 in 1,000.
    """
    channels = range(3)
    lines = [
        "aipp_mode: static",
        "input_format: RGB888_U8",
        "csc_switch: false",
        "rbuv_swap_switch: false",
        f"src_image_size_w: {image_size}",
        f"src_image_size_h: {image_size}",
        *(f"mean_chn_{channel}: 0" for channel in channels),
        *(f"min_chn_{channel}: {normalization.mean[channel]!r}" for channel in channels),
        *(f"var_reci_chn_{channel}: {1 / normalization.std[channel]!r}" for channel in channels),
    ]
    return "\n".join(["aipp_op {", *(f"    {line}" for line in lines), "}", ""])


def atc_command(onnx: Path, aipp: Path, om: Path, *, image_size: int, batch: int | None, soc_version: str) -> list[str]:
    """The command that compiles an ONNX file of normalised images into `om`."""
    command = [
        ATC,
        f"--framework={_ONNX_FRAMEWORK}",
        f"--model={onnx}",
        f"--output={om.with_suffix('')}",  # atc adds .om
        f"--soc_version={soc_version}",
        "--input_format=NCHW",
        f"--input_shape=image:{batch or -1},3,{image_size},{image_size}",
        f"--insert_op_conf={aipp}",
    ]
    return command if batch else [*command, f"--dynamic_batch_size={','.join(map(str, DYNAMIC_BATCHES))}"]


def has_atc() -> bool:
    """Whether CANN's compiler is on PATH."""
    return shutil.which(ATC) is not None


def soc_version_here() -> str:
    """atc's name for this host's cards: by CANN's documentation of it, "Ascend" before what npu-smi calls them.

    Raises:
        UserError: npu-smi tells the family only, as for Atlas A3.
    """
    cards = present_cards()
    if not cards:
        return _SOC_WITHOUT_CARD
    if cards[0].name.startswith("Ascend"):
        raise UserError(
            f"npu-smi calls this host's cards {cards[0].name}, which names no processor to compile for", "soc_version"
        )
    return f"Ascend{cards[0].name}"


def run_atc(command: list[str], om: Path) -> None:
    """Compile.

    Raises:
        UserError: atc failed, or left no file.
    """
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: PLW1510 - the status is looked at below
    if done.returncode or not om.is_file():
        said = f"{done.stdout}\n{done.stderr}"
        reason = " ".join(_REASON.findall(said)) or said.strip().rpartition("\n")[2] or "it said nothing"
        raise UserError(f"atc failed with status {done.returncode}: {reason}")
