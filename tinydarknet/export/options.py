"""The options of an export."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tinydarknet.config import check_image_side
from tinydarknet.export.design import InputKind, OutputKind

FileFormat = Literal["onnx", "mindir", "air", "om"]

_FILENAMES = ("onnx_filename", "int8_filename", "mindir_filename", "om_filename")


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Write a checkpoint as ONNX or MINDIR with its preprocessing inside, reload it and compare before saying so."""

    checkpoint_path: Path
    """The network: a checkpoint of ours or of ModelZoo's (.ckpt), or Darknet's file (.weights)."""
    file_format: tuple[FileFormat, ...] = ("onnx", "mindir")
    """One or more; om needs Ascend's compiler atc, and so does what is written instead of air."""
    out_dir: Path = Path("export")
    """Where the files go, each with a JSON card beside it."""
    onnx_filename: str = "tinydarknet.onnx"
    int8_filename: str = "tinydarknet-int8.onnx"
    mindir_filename: str = "tinydarknet.mindir"
    om_filename: str = "tinydarknet.om"
    input: InputKind = "rgb_uint8"
    """rgb_uint8 or rgb_float: pixels of 0 to 255, [B, 3, S, S], normalised inside; rgb_normalized: normalised by the
    caller; planes: y, uv and colour as in the feed."""
    output: OutputKind = "probabilities"
    """What comes out, [B, classes]."""
    batch: int | Literal["dynamic"] = "dynamic"
    """Images per call, fixed in the file; or any number."""
    fold_batch_norm: bool = False
    """Put each batch norm into the convolution before it."""
    int8: bool = False
    """Also write an ONNX file quantised to 8 bits, calibrated on data_path, scored on val_data_path."""
    max_drop: float = 0.01
    """Top-1 accuracy that the int8 file may lose before it is refused, as a fraction."""
    image_size: int = 0
    """Pixels of the square image; 0 takes the checkpoint's."""
    data_path: Path | None = None
    """Dataset directory whose first images serve for the comparison and for calibration; without it, drawn ones."""
    val_data_path: Path | None = None
    """Dataset directory on which every exported file is scored, for its card."""
    soc_version: str = ""
    """Processor that an om file is compiled for, in atc's words; by default this host's card, Ascend310P3 without one."""

    def __post_init__(self) -> None:
        if not self.file_format:
            raise ValueError("file_format must name at least one format, got none")
        if self.batch != "dynamic" and self.batch < 1:
            raise ValueError(f"batch must be at least 1 or dynamic, got {self.batch}")
        if self.image_size:
            check_image_side("image_size", self.image_size)
        if not 0 <= self.max_drop <= 1:
            raise ValueError(f"max_drop must be in [0, 1], got {self.max_drop}")
        if self.int8 and "onnx" not in self.file_format:
            raise ValueError(f"int8 quantises the onnx file, so file_format must name onnx, got {self.file_format}")
        if self.int8 and (self.data_path is None or self.val_data_path is None):
            raise ValueError("int8 needs data_path to calibrate on and val_data_path to be scored on, one is missing")
        if "om" in self.file_format and self.input == "planes":
            raise ValueError("om takes RGB pixels, which the device's AIPP normalises: leave out --input planes")
        if not re.fullmatch(r"[A-Za-z0-9_]*", self.soc_version):
            raise ValueError(f"soc_version must be a name such as Ascend310P3, got {self.soc_version!r}")
        self._check_filenames()

    @property
    def int8_data(self) -> tuple[Path, Path] | None:
        """Datasets to calibrate and to score an int8 file on; None where none is wanted."""
        if not self.int8 or self.data_path is None or self.val_data_path is None:
            return None
        return self.data_path, self.val_data_path

    def _check_filenames(self) -> None:
        names = [getattr(self, field) for field in _FILENAMES]
        for field, name in zip(_FILENAMES, names, strict=True):
            if Path(name).name != name:
                raise ValueError(f"{field} must be a plain file name, got {name!r}: the folder is out_dir")
            suffix = Path(getattr(type(self), field)).suffix
            if Path(name).suffix != suffix:
                raise ValueError(f"{field} must end in {suffix}, by which its readers know it, got {name!r}")
        if len(set(names)) < len(names):
            raise ValueError(f"the file names must differ from each other, got {names}")
