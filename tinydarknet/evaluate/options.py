"""The options of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from convert.errors import require_at_least
from tinydarknet.config import DeviceConfig, FeedOption, check_image_side


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(DeviceConfig):
    """Count how many images of a dataset a network gets right, each image once, and show where it errs."""

    val_data_path: Path
    """Dataset directory (made by 'python -m convert run')."""
    checkpoint_path: Path
    """The network: a checkpoint of ours or of ModelZoo's (.ckpt), or Darknet's file (.weights)."""
    json: Path | None = None
    """Also write the counts to this file, as JSON."""
    report_dir: Path | None = None
    """Also write tables, figures and the worst images into this folder; see docs/evaluation.md."""
    plots: bool = True
    """Figures in report_dir; they take matplotlib (the extra 'plots')."""
    worst: int = 32
    """Images in report_dir's sheet of those with the highest losses."""
    flip: bool = False
    """Count again with each image's prediction averaged with that for its mirror image."""
    sweep: tuple[int, ...] = ()
    """Count again at these image sizes, pixels, such as 160 192 224 256 288; one more pass each."""
    legacy_drop: bool = False
    """Also count in the reference's way, which drops each rank's last, incomplete batch of 128."""
    batch_size: int = 64
    """Images per step; the counts do not depend on it."""
    image_size: int = 0
    """Pixels of the square image; 0 takes the checkpoint's."""
    feed: FeedOption = "auto"
    """How batches are made; auto takes the dataset's fastest."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 1, "batch_size", "worst")
        for name, side in (("image_size", self.image_size), *(("sweep", side) for side in self.sweep)):
            if side or name == "sweep":
                check_image_side(name, side)
