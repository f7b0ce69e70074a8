"""Two result files side by side: what became faster, what slower, and what lies within the repeats' spread.

python benchmarks/compare.py benchmarks/results/published/feed_rate.jsonl benchmarks/results/feed_rate.jsonl
"""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks.reporting.results import Result, higher_is_better, identity, load_results, metrics
from convert.cli import Command, main_single
from convert.errors import UserError


@dataclass(frozen=True)
class CompareOptions:
    """Compare two files (or folders) of results, line by line where both measured the same."""

    before: Annotated[Path, tyro.conf.Positional]
    """Results to hold the others against."""
    after: Annotated[Path, tyro.conf.Positional]
    """Results of a later or other run."""


@dataclass(frozen=True)
class Difference:
    """One metric in both files."""

    what: str
    """The measurement's identity in words."""
    metric: str
    before: float
    after: float
    verdict: str
    """better, worse, or within the spread."""

    @property
    def ratio(self) -> float:
        """After over before."""
        return self.after / self.before if self.before else float("inf")


def compare(before: Sequence[Result], after: Sequence[Result]) -> Iterator[Difference]:
    """Every metric that both hold for the same measurement.

    Two medians are told apart only if each lies outside the other's minimum and maximum, where repeats gave them.
    """
    earlier = {identity(result): result for result in before}
    for result in after:
        other = earlier.get(identity(result))
        if other is None:
            continue
        old, new = metrics(other), metrics(result)
        for name in (name for name in new if name in old):
            if _overlap(other, result, name, old[name], new[name]):
                verdict = "within the spread"
            else:
                verdict = "better" if (new[name] > old[name]) == higher_is_better(name) else "worse"
            yield Difference(" ".join(identity(result)), name, old[name], new[name], verdict)


def other_machine(before: Sequence[Result], after: Sequence[Result]) -> str:
    """A warning where the two were not measured on the same kind of machine; empty where they were."""
    machines = [{(r["environment"]["cpu"], r["environment"]["cores"]) for r in some} for some in (before, after)]
    if machines[0] == machines[1]:
        return ""
    words = [", ".join(f"{cores} cores of {cpu}" for cpu, cores in sorted(found)) for found in machines]
    return f"warning: measured on {words[0]} before and {words[1]} after: compare ratios within each, not rates"


def _overlap(before: Result, after: Result, name: str, old: float, new: float) -> bool:
    if old == new:
        return True
    lowest = (before.get(f"{name}_min", old), after.get(f"{name}_min", new))
    highest = (before.get(f"{name}_max", old), after.get(f"{name}_max", new))
    return lowest[0] <= new <= highest[0] or lowest[1] <= old <= highest[1]


def _main(options: CompareOptions) -> None:
    before, after = load_results(options.before), load_results(options.after)
    differences = list(compare(before, after))
    if not differences:
        raise UserError(
            f"{options.before} and {options.after} have no measurement in common: give results of the same benchmark with the same options"
        )
    warning = other_machine(before, after)
    if warning:
        print(warning)
    what = ""
    for difference in differences:
        if difference.what != what:
            what = difference.what
            print(what)
        print(
            f"  {difference.metric:32} {difference.before:14,.4g} -> {difference.after:14,.4g}"
            f"   x {difference.ratio:5.2f}  {difference.verdict}"
        )


def main() -> None:
    """Compare and print."""
    main_single("compare.py", Command(CompareOptions, _main))


if __name__ == "__main__":
    main()
