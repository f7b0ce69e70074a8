"""What Ascend's generations can do, and how to read MindSpore's messages.

Taken from MindSpore 2.8.0's own code; nothing here was run on a card.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

DRIVER = Path("/dev/davinci_manager")
"""There is a driver where this device file is."""

_OVERFLOW_MODE_VARIABLE = "MS_ASCEND_CHECK_OVERFLOW_MODE"
_REASON = re.compile(r"^\[ERROR\] *(.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Chip:
    """A generation, as far as training here depends on it."""

    name: str
    """As MindSpore names it."""
    has_bfloat16: bool
    clamps: bool
    """float16 arithmetic ends at 65,504 instead of infinity, which only the status register tells (mindspore/amp.py)."""
    decodes_jpeg: bool
    """MindSpore's dataset operators run on it: Ascend910B and Ascend910_93 alone (map_op.cc, InitResource)."""

    @property
    def hides_overflow(self) -> bool:
        """Whether an overflow leaves no infinity behind: always, or because the user has chosen so."""
        return self.clamps or os.environ.get(_OVERFLOW_MODE_VARIABLE) == "SATURATION_MODE"


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("ascend910", has_bfloat16=False, clamps=True, decodes_jpeg=False),
        Chip("ascend910b", has_bfloat16=True, clamps=False, decodes_jpeg=True),
        Chip("ascend910_93", has_bfloat16=True, clamps=False, decodes_jpeg=True),
    )
}


def present_chip() -> Chip | None:
    """The generation of this host's cards; None where MindSpore finds none, or one that is not known here."""
    from mindspore._c_expression import MSContext

    return CHIPS.get(MSContext.get_instance().get_ascend_soc_version())


def reason_of(error: Exception) -> str:
    """MindSpore's own reason, without the frame and the call stack around it.

    The dataset pipeline's message begins with "Exception thrown from dataset pipeline"; the reason is its [ERROR] line.
    """
    text = str(error).strip()
    found = _REASON.search(text)
    return (found[1] if found else text.partition("\n")[0]).rstrip(".") or type(error).__name__
