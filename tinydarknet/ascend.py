"""Ascend's generations, the cards of this host, which software belongs together, and how to read MindSpore's messages.

Taken from MindSpore 2.8.0's own code and the pages named; nothing here was run on a card.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
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


@dataclass(frozen=True)
class Card:
    """One chip, as `npu-smi info` lists it; a rank's device number is its place in that list."""

    name: str
    """Such as 910B3; of Atlas A3, Ascend910."""
    health: str
    bus_id: str
    """PCI address, such as 0000:C1:00.0."""


_CARD = re.compile(
    r"^\| *\d+ +(?P<name>[\w-]+) *\| *(?P<health>\w+) *\|[^\n]*\n\|[\d ]+\| *(?P<bus_id>[\dA-Fa-f:.]+) *\|",
    re.MULTILINE,
)
"""Two lines of npu-smi's table: NPU, name, health; chip, bus id."""


def npu_smi(*words: str) -> str:
    """What npu-smi prints; empty where it is not installed or fails."""
    program = shutil.which("npu-smi")
    if program is None:
        return ""
    done = subprocess.run([program, *words], capture_output=True, text=True, errors="replace", check=False)
    return "" if done.returncode else done.stdout


def present_cards() -> list[Card]:
    """The cards of this host, in npu-smi's order; empty where it finds none."""
    return [Card(**found.groupdict()) for found in _CARD.finditer(npu_smi("info"))]


def visible_card_nodes(devices: Path = Path("/sys/bus/pci/devices")) -> list[int]:
    """The memory node that each visible card is at, by device number, as the kernel says it; empty where one is not known.

    As MindSpore reads ASCEND_RT_VISIBLE_DEVICES (mindspore/runtime/thread_bind_core.py): sorted.
    """
    cards = present_cards()
    if visible := os.environ.get("ASCEND_RT_VISIBLE_DEVICES"):
        numbers = sorted(int(number) for number in visible.split(",") if number.strip().isdecimal())
        cards = [cards[number] for number in numbers if number < len(cards)]
    files = [devices / card.bus_id.lower() / "numa_node" for card in cards]
    nodes = [int(file.read_text()) if file.is_file() else -1 for file in files]
    return [] if -1 in nodes else nodes


def reason_of(error: Exception) -> str:
    """MindSpore's own reason, without the frame and the call stack around it.

    The dataset pipeline's message begins with "Exception thrown from dataset pipeline"; the reason is its [ERROR] line.
    """
    text = str(error).strip()
    found = _REASON.search(text)
    return (found[1] if found else text.partition("\n")[0]).rstrip(".") or type(error).__name__
