"""The step time *predicted* for a host and its cards, for every feed whose rate was measured; nothing is measured here.

python benchmarks/predict_step.py --results benchmarks/results/feed_rate.jsonl --cores 56 --cards 8
"""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

from dataclasses import dataclass
from pathlib import Path

from benchmarks.prediction.budget import (
    ASSUMED_CARD_SHARE,
    ASSUMED_COMPUTE_MS,
    CARD_PEAK_TFLOPS,
    CARD_STEP_TFLOP,
    REFERENCE_IMAGES_PER_S,
    Host,
    closeness,
    cores_needed,
    predict_step,
)
from benchmarks.prediction.simulation import Scenario, simulate
from benchmarks.reporting.results import load_results, of_benchmark
from convert.cli import Command, main_single
from convert.errors import UserError, require_at_least

PUBLISHED = Path(__file__).parent / "results" / "published"
_QUEUE_BATCHES = 18
"""What training holds ready: MindSpore's pipeline 16, the feed 2."""


@dataclass(frozen=True)
class PredictStepOptions:
    """Predict the step time of a host from measured feed rates."""

    results: Path = PUBLISHED / "feed_rate.jsonl"
    """What benchmarks/feed_rate.py wrote."""
    cores: int = 56
    """Of the host."""
    cards: int = 8
    """Accelerators in it."""
    batch_size: int = 128
    """Images per card and step."""
    compute_ms: float = ASSUMED_COMPUTE_MS
    """A card's step when the data is there; the default is a guess, see below."""
    jitter: float = 0.2
    """Standard deviation over mean of feed and compute times, for the simulation."""

    def __post_init__(self) -> None:
        Host(self.cores, self.cards, self.batch_size, self.compute_ms)
        require_at_least(self, 0, "jitter")


def predictions(options: PredictStepOptions) -> list[str]:
    """The sentences: assumptions first, then one feed after the other.

    Raises:
        UserError: the results hold no feed's rate.
    """
    rates = of_benchmark(load_results(options.results), "feed_rate")
    if not rates:
        raise UserError(f"{options.results} holds no result of feed_rate: run benchmarks/feed_rate.py with --json")
    host = Host(options.cores, options.cards, options.batch_size, options.compute_ms)
    lines = [f"All step times are predicted, for {host.cores} cores and {host.cards} cards at batch {host.batch_size}."]
    if host.compute_ms == ASSUMED_COMPUTE_MS:
        lines.append(
            f"compute {ASSUMED_COMPUTE_MS:.1f} ms is a guess, not measured: {CARD_STEP_TFLOP} TFLOP a step at "
            f"{ASSUMED_CARD_SHARE:.0%} of {CARD_PEAK_TFLOPS:.0f} TFLOPS"
        )
    for rate in rates:
        prediction = predict_step(rate["feed"], rate["images_per_core_s"], host)
        threads = max(1, host.cores // host.cards)
        simulated_ms = simulate(
            Scenario(
                ranks=host.cards,
                threads=threads,
                queue=_QUEUE_BATCHES + threads,
                service_ms=prediction.feed_ms * threads,
                compute_ms=host.compute_ms,
                service_cv=options.jitter,
                compute_cv=options.jitter,
            )
        )
        needed = cores_needed(REFERENCE_IMAGES_PER_S, rate["images_per_core_s"])
        lines += [
            prediction.sentence,
            f"  {needed:.1f} cores for {REFERENCE_IMAGES_PER_S:,.0f} images/s, 8 cards at 104 ms; "
            f"with jitter {options.jitter:.0%} simulated at {simulated_ms:.1f} ms",
        ]
        if rate["feed"] == "reference" and (host.cores, host.cards, host.batch_size) == (56, 8, 128):
            lines.append(f"  {closeness(prediction)}")
    return lines


def main() -> None:
    """Predict and print."""
    main_single("predict_step.py", Command(PredictStepOptions, lambda options: print(*predictions(options), sep="\n")))


if __name__ == "__main__":
    main()
