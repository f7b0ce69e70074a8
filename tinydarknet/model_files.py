"""Any file that holds a Tiny-DarkNet's weights -> a checkpoint."""

from __future__ import annotations

from pathlib import Path

from tinydarknet.darknet_weights import load_darknet
from tinydarknet.model import checkpoint
from tinydarknet.model.checkpoint import Checkpoint

DARKNET_SUFFIX = ".weights"


def load_any(path: Path) -> Checkpoint:
    """Read a checkpoint of ours or of ModelZoo's (.ckpt), or Darknet's own file (.weights).

    Raises:
        UserError: missing, unreadable, damaged, or not a Tiny-DarkNet.
    """
    return load_darknet(path) if path.suffix == DARKNET_SUFFIX else checkpoint.load(path)
