"""Tries what needs an Ascend card, and what can be tried without: `python -m tinydarknet.ascend_check --out DIR`."""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

import contextlib
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from convert.cli import Command, main_single
from convert.errors import UserError

EXIT_NO_CARD = 77
"""Nothing failed, but there was no card to try the rest on: what test harnesses take for "skipped"."""


@dataclass(frozen=True, kw_only=True)
class AscendCheckOptions:
    """Check a machine with Ascend cards, step by step, up to the first failure; findings.html has it all on one page.

    Exit status: 0 all passed; 1 one failed; 77 none failed, but without a card some were not run.
    """

    out: Path = Path("runs/ascend-check")
    """Where findings.json and findings.html go."""
    checks: tuple[int, ...] = ()
    """Numbers of the checks to run; all by default."""
    keep_going: bool = False
    """Go on after a failure."""
    data: Path | None = None
    """Your training dataset, such as 100 classes of ImageNet, for the step times and the last check."""
    val_data: Path | None = None
    """Its validation split."""
    work_dir: Path | None = None
    """Keep the checks' runs, logs and datasets in this new folder; by default they are removed at the end."""

    def __post_init__(self) -> None:
        if not all(1 <= number <= 16 for number in self.checks):
            raise ValueError(f"checks must be numbers from 1 to 16, got {self.checks}")


def check(options: AscendCheckOptions) -> int:
    """Carry out the command."""
    from tinydarknet.ascend import DRIVER, present_cards
    from tinydarknet.ascend_check.findings import Finding, write
    from tinydarknet.ascend_check.trials import TRIALS, Trial
    from tinydarknet.ascend_check.workplace import Workplace

    cards = tuple(present_cards()) if DRIVER.exists() else ()
    if DRIVER.exists() and not cards:
        raise UserError("there is an Ascend driver, but npu-smi info lists no card: see whether it works by itself")
    options.out.mkdir(parents=True, exist_ok=True)
    findings: list[Finding] = []

    def carried_out(number: int, trial: Trial, place: Workplace) -> Finding:
        from tinydarknet.ascend_check.findings import CheckError

        if trial.needs and not cards:
            return Finding(number, trial.title, trial.limit, "not run", "no card")
        if trial.needs == "cards" and len(cards) < 2:
            return Finding(number, trial.title, trial.limit, "not run", "one card only")
        start = time.monotonic()
        try:
            outcome, found, mend = "passed", trial.run(place), ""
        except CheckError as error:
            outcome, found, mend = "failed", error.found, error.mend
        return Finding(number, trial.title, trial.limit, outcome, found, mend, time.monotonic() - start)

    with _work_folder(options.work_dir) as folder:
        data, val_data = (None if path is None else path.resolve() for path in (options.data, options.val_data))
        place = Workplace(folder, cards, data, val_data)
        for number, trial in enumerate(TRIALS, start=1):
            if options.checks and number not in options.checks:
                continue
            findings.append(carried_out(number, trial, place))
            print(findings[-1].line(), flush=True)
            if findings[-1].outcome == "failed" and not options.keep_going:
                break
    environment = {
        "machine": platform.machine(), "python": platform.python_version(), "mindspore": version("mindspore"),
        "cards": ", ".join(card.name for card in cards) or "none",
    }  # fmt: skip
    print(f"all of it: {write(options.out, findings, environment)}")
    outcomes = {finding.outcome for finding in findings}
    return 1 if "failed" in outcomes else EXIT_NO_CARD if "not run" in outcomes and not cards else 0


@contextlib.contextmanager
def _work_folder(wanted: Path | None) -> Iterator[Path]:
    if wanted is None:
        with tempfile.TemporaryDirectory(prefix="ascend-check-") as folder:
            yield Path(folder)
        return
    try:
        wanted.mkdir(parents=True)
    except FileExistsError as error:
        raise UserError(f"{wanted} exists: name a new folder", "work_dir") from error
    yield wanted.resolve()


def main() -> None:
    """Run the command line."""
    main_single("python -m tinydarknet.ascend_check", Command(AscendCheckOptions, check))


if __name__ == "__main__":
    main()
