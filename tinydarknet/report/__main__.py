"""Turns runs into a page: `python -m tinydarknet.report --runs DIR`."""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

from dataclasses import dataclass
from pathlib import Path

from convert.cli import Command, main_single
from convert.durable_files import write_output
from convert.errors import UserError

PAGE_NAME = "report.html"


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Write one self-contained HTML page about a training run, or about several side by side, from their logs alone."""

    runs: tuple[Path, ...]
    """The run's folder; more than one for a comparison."""
    out: Path | None = None
    """The page; by default report.html in the run's folder. Needed for a comparison."""

    def __post_init__(self) -> None:
        if not self.runs:
            raise ValueError("runs must name at least one folder, got none")
        if len(self.runs) > 1 and self.out is None:
            raise ValueError(f"a comparison of {len(self.runs)} runs needs out, the page's file, got none")


def write_report(options: ReportOptions) -> None:
    """Carry out the command."""
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UserError(f"a report needs matplotlib and jinja2 ({error}): pip install 'tinydarknet[plots]'") from error
    from tinydarknet.report.page import comparison_page, run_page
    from tinydarknet.report.run_record import read_run

    runs = [read_run(path) for path in options.runs]
    page = run_page(runs[0]) if len(runs) == 1 else comparison_page(runs)
    out = options.out or options.runs[0] / PAGE_NAME
    write_output(out, page.encode(errors="backslashreplace"))  # names of files need not be UTF-8
    print(f"{out}: {len(page) / 1e3:,.0f} KB")


def main() -> None:
    """Run the command line."""
    main_single("python -m tinydarknet.report", Command(ReportOptions, write_report))


if __name__ == "__main__":
    main()
