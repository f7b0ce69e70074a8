"""What came of the checks: a line each, JSON, and a page that can be attached to a report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from convert.durable_files import write_bytes

Outcome = Literal["passed", "failed", "not run"]


class CheckError(Exception):
    """A check that failed: what was found, and what to do."""

    def __init__(self, found: str, mend: str) -> None:
        super().__init__(found)
        self.found, self.mend = found, mend


@dataclass(frozen=True)
class Finding:
    """One check."""

    number: int
    title: str
    limit: str
    outcome: Outcome
    found: str
    """What was measured, or why nothing was."""
    mend: str = ""
    """What to do about a failure."""
    seconds: float = 0.0

    def line(self) -> str:
        """For the terminal."""
        mend = f": {self.mend}" if self.mend else ""
        return f"{self.number:2d} {self.outcome:7} {self.title} ({self.seconds:.0f} s): {self.found}{mend}"


def write(folder: Path, findings: Sequence[Finding], environment: dict[str, Any]) -> Path:
    """Write findings.json and findings.html; returns the page."""
    import jinja2

    record = {"environment": environment, "checks": [dataclasses.asdict(finding) for finding in findings]}
    write_bytes(folder / "findings.json", (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    loader = jinja2.PackageLoader("tinydarknet.report")
    page = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    text = page.get_template("ascend_check.html.jinja").render(findings=findings, figures=record)
    write_bytes(folder / "findings.html", text.encode())
    return folder / "findings.html"
