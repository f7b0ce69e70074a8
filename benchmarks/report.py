"""Results -> docs/benchmarks.md and docs/learning.md with their plots, and the tables of the READMEs and the library's pages.

Measures nothing; run twice, it changes nothing.

python benchmarks/report.py --results benchmarks/results/published
"""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reporting.documents import benchmarks_page, library_table, readme_table
from benchmarks.reporting.learning_page import learning_page
from benchmarks.reporting.markdown import Language
from benchmarks.reporting.markers import replace_between
from benchmarks.reporting.results import Result, load_results, of_benchmark
from convert.cli import Command, main_single
from convert.durable_files import write_output
from convert.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
TABLES: dict[str, tuple[str, Callable[[Sequence[Result], Language], str], Language]] = {
    "README.md": ("measured rates", readme_table, "en"),
    "README_CN.md": ("measured rates", readme_table, "zh"),
    "docs/library.md": ("measured loaders", library_table, "en"),
    "docs/library_CN.md": ("measured loaders", library_table, "zh"),
}
"""By document: the name of its markers, and what stands between them."""


@dataclass(frozen=True)
class RenderOptions:
    """Render results to the documents of a source tree."""

    results: Path = ROOT / "benchmarks" / "results" / "published"
    """A file of results, or a folder of them."""
    root: Path = ROOT
    """The source tree whose docs, README.md and README_CN.md are written."""


def render(options: RenderOptions) -> dict[Path, bytes]:
    """Every file that the results determine, by its path.

    Raises:
        UserError: there are no results, a document has no place for its table, or matplotlib is not installed.
    """
    try:
        from benchmarks.reporting.charts import draw_all

        results = load_results(options.results)
        plots = draw_all(results)
    except ImportError as error:
        raise UserError(f"{error.name} is not installed: pip install 'tinydarknet[plots]'") from error
    docs = options.root / "docs"
    files = {docs / name: drawing for name, drawing in plots.items()}
    files[docs / "benchmarks.md"] = benchmarks_page(results).encode()
    if learning := of_benchmark(results, "learning"):
        files[docs / "learning.md"] = learning_page(learning).encode()
    for name, (marker, tabulate, language) in TABLES.items():
        path = options.root / name
        text = replace_between(path.read_text("utf-8"), marker, tabulate(results, language), str(path))
        files[path] = text.encode()
    return files


def _main(options: RenderOptions) -> None:
    for path, content in render(options).items():
        changed = not path.is_file() or path.read_bytes() != content
        if changed:
            write_output(path, content)
        print(f"{'written' if changed else 'unchanged'}: {path.relative_to(options.root)}")


def main() -> None:
    """Render and write."""
    main_single("report.py", Command(RenderOptions, _main))


if __name__ == "__main__":
    main()
