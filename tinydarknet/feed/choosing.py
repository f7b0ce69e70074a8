"""Which feed reads a dataset: one word asked for, one word and one sentence back.

planes      yuv420: planes through memory maps, no decoding
dvpp        jpeg, original: decoded by the Ascend's hardware (910B and later)
host        jpeg, original: decoded by OpenCV
reference   jpeg, original: the reference's own MindSpore operators, the baseline
auto        planes, else dvpp where it works, else host
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from convert.errors import UserError

FeedName = Literal["auto", "planes", "dvpp", "host", "reference"]

_ASCEND_DRIVER = Path("/dev/davinci_manager")


@dataclass(frozen=True)
class Choice:
    """The feed that was chosen, and why."""

    feed: FeedName
    sentence: str


def hardware_problem() -> str | None:
    """Why this host cannot decode by hardware; None if it can."""
    if not _ASCEND_DRIVER.exists():
        return "there is no Ascend driver"
    from tinydarknet.feed.dvpp import device_problem

    return device_problem()


def choose_feed(
    wanted: FeedName, encoding: str, directory: Path, problem: Callable[[], str | None] = hardware_problem
) -> Choice:
    """Pick the feed for a dataset of this encoding.

    Raises:
        UserError: the wanted feed cannot read it, or needs hardware that is not there.
    """
    if (wanted == "planes") != (encoding == "yuv420") and wanted != "auto":
        raise UserError(
            f"{directory} is stored as {encoding}, which the {wanted} feed cannot read: "
            f"use --feed auto, or convert with --encoding {'yuv420' if wanted == 'planes' else 'original'}"
        )
    if encoding == "yuv420":
        return Choice("planes", "feed planes: the dataset stores yuv420, nothing is left to decode")
    if wanted == "reference":
        return Choice("reference", "feed reference: the baseline, as asked for")
    if wanted == "host":
        return Choice("host", f"feed host: OpenCV decodes the dataset's {encoding} images, as asked for")
    reason = problem()
    if reason is None:
        return Choice("dvpp", f"feed dvpp: the Ascend's hardware decodes the dataset's {encoding} images")
    if wanted == "dvpp":
        raise UserError(f"the feed dvpp cannot be used, {reason}: take --feed host, or convert with --encoding yuv420")
    return Choice("host", f"feed host: OpenCV decodes the dataset's {encoding} images, not the hardware: {reason}")
