"""What an export can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tinydarknet.config import check_image_side

FileFormat = Literal["onnx", "mindir", "air"]
InputKind = Literal["rgb_uint8", "rgb_float", "planes"]


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Write a checkpoint as ONNX or MINDIR with its preprocessing inside, reload it and compare before saying so."""

    checkpoint_path: Path
    """Checkpoint of ours or of ModelZoo's."""
    file_format: tuple[FileFormat, ...] = ("onnx", "mindir")
    """One or more; air only on Ascend."""
    out_dir: Path = Path("export")
    """Where the files go, each with a JSON card beside it."""
    onnx_filename: str = "tinydarknet.onnx"
    mindir_filename: str = "tinydarknet.mindir"
    air_filename: str = "tinydarknet.air"
    input: InputKind = "rgb_uint8"
    """rgb_uint8 or rgb_float: pixels of 0 to 255, [B, 3, S, S]; planes: y, uv and colour as in the feed."""
    batch: int = 0
    """Images per call, fixed in the file; 0 for any."""
    image_size: int = 0
    """Pixels of the square image; 0 takes the checkpoint's."""
    data_path: Path | None = None
    """Dataset directory whose images serve for the comparison; without it, 8 drawn ones."""

    def __post_init__(self) -> None:
        if not self.file_format:
            raise ValueError("file_format must name at least one format, got none")
        if self.batch < 0:
            raise ValueError(f"batch must be at least 0, got {self.batch}")
        if self.image_size:
            check_image_side("image_size", self.image_size)
        for name in ("onnx_filename", "mindir_filename", "air_filename"):
            value = getattr(self, name)
            if Path(value).name != value:
                raise ValueError(f"{name} must be a plain file name, got {value!r}: the folder is out_dir")
