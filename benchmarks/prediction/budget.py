"""What a host must have to keep its cards busy: arithmetic from measured rates. Nothing is measured here; results are *predicted*."""

from __future__ import annotations

from dataclasses import dataclass

from convert.errors import require_positive

REFERENCE_STEP_MS = 104.0
"""Published for the reference: Ascend 910, 8 cards, batch 128 each, 56 CPU cores."""

REFERENCE_IMAGES_PER_S = 8 * 128 / (REFERENCE_STEP_MS / 1e3)
"""What those 8 cards consume: 9,846 images/s."""

CARD_STEP_TFLOP = 0.378
"""One card's step at batch 128: 0.49 G multiply-adds an image forward, twice that backward, two operations each."""

CARD_PEAK_TFLOPS = 256.0
"""An Ascend 910 in float16, from its data sheet."""

ASSUMED_CARD_SHARE = 0.1
"""Of its peak that a small network like this one reaches; a guess, nothing was run on a card."""

ASSUMED_COMPUTE_MS = 1e3 * CARD_STEP_TFLOP / (CARD_PEAK_TFLOPS * ASSUMED_CARD_SHARE)
"""One card's step without waiting: 14.8 ms, by that guess."""


@dataclass(frozen=True)
class Host:
    """A host and the cards it feeds."""

    cores: int = 56
    """Processor cores, all of them busy making batches."""
    cards: int = 8
    batch_size: int = 128
    """Images per card and step."""
    compute_ms: float = ASSUMED_COMPUTE_MS
    """A card's step when the data is there."""

    def __post_init__(self) -> None:
        require_positive(self, "cores", "cards", "batch_size", "compute_ms")

    @property
    def images_per_step(self) -> int:
        """Over all cards."""
        return self.cards * self.batch_size


@dataclass(frozen=True)
class Prediction:
    """The step of one host with one feed."""

    feed: str
    feed_ms: float
    """All cores together make one step's images in so long."""
    step_ms: float
    """The slower of the two: feed and cards work at once."""
    host: Host
    images_per_core_s: float

    @property
    def limited_by(self) -> str:
        """feed or compute."""
        return "feed" if self.feed_ms > self.host.compute_ms else "compute"

    @property
    def sentence(self) -> str:
        """The prediction with everything that went into it."""
        host = self.host
        return (
            f"{self.feed}: predicted {self.step_ms:.1f} ms a step, limited by {self.limited_by} = max(compute {host.compute_ms:.1f} ms, "
            f"feed {self.feed_ms:.1f} ms = {host.images_per_step} images / ({host.cores} cores x {self.images_per_core_s:,.0f} images/s))"
        )


def cores_needed(images_per_s: float, images_per_core_s: float) -> float:
    """Cores that make `images_per_s` at the rate of one core."""
    if images_per_core_s <= 0:
        raise ValueError(f"images_per_core_s must be positive, got {images_per_core_s}")
    return images_per_s / images_per_core_s


def predict_step(feed: str, images_per_core_s: float, host: Host) -> Prediction:
    """The step time of `host`, `max(compute, feed)`.

    It supposes that cores add up without loss, that they do nothing else, and that queues between feed and cards even
    out what varies; `simulation.py` says what happens when they do not.
    """
    feed_ms = 1e3 * cores_needed(host.images_per_step, images_per_core_s) / host.cores
    return Prediction(feed, feed_ms, max(host.compute_ms, feed_ms), host, images_per_core_s)


def closeness(prediction: Prediction, published_ms: float = REFERENCE_STEP_MS) -> str:
    """How a prediction for the reference's own host and feed stands to the step time that was published for it."""
    share = prediction.step_ms / published_ms
    return (
        f"The {prediction.feed} feed on {prediction.host.cores} cores is predicted at {prediction.step_ms:.0f} ms, "
        f"{share:.0%} of the published {published_ms:.0f} ms; "
        f"{cores_needed(prediction.host.images_per_step / (published_ms / 1e3), prediction.host.cores):.0f} images/s per core "
        f"would give {published_ms:.0f} ms, {prediction.images_per_core_s:.0f} were measured here."
    )
