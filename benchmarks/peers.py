"""The same images through other toolkits' loaders and through this project's feeds, in turns, by one clock.

    make bench-peers                                                 # makes .venv-peers first
    python benchmarks/peers.py --source IMAGENET/train --json result.json

Every loader gives random resized crops of one size, mirrored half of the time; what else it does is in its result.
A peer that is not installed, or does not run here, is listed with the reason.
"""

from __future__ import annotations

if __name__ == "__main__":
    from convert.signals import guard_start

    guard_start()

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.instruments.harness import BenchmarkOptions, run_benchmark, spread
from benchmarks.peer_loaders.catalogue import PEERS
from benchmarks.peer_loaders.install import OUTCOME_NAME, last_error
from convert.errors import UserError, require_positive

OurFeed = Literal["planes", "host_jpeg", "host", "reference"]
OURS: dict[OurFeed, tuple[str, str]] = {
    "planes": ("yuv420 shards, short side 256", "uint8 Y and UV planes, with the colour jitter's matrices"),
    "host_jpeg": ("JPEG shards, short side 256", "uint8 Y and UV planes, with the colour jitter's matrices"),
    "host": ("MindRecord shards of JPEG files", "uint8 Y and UV planes, with the colour jitter's matrices"),
    "reference": ("MindRecord shards of JPEG files", "float32 [B, 3, S, S], jittered and normalised"),
}
"""This project's feeds: what each reads and gives. All of them draw the reference's colour jitter, too; the peers do not."""

_ROOT = Path(__file__).resolve().parents[1]
_TURN_SECONDS_MAX = 300


@dataclass(frozen=True)
class PeersOptions(BenchmarkOptions):
    """Measure this project's feeds and other toolkits' loaders on a split of class folders, in turns."""

    source: Path
    """A folder of class folders of JPEG files."""
    environment: Path = Path(".venv-peers")
    """Where the peers are installed: python -m benchmarks.peer_loaders.install DIR makes it."""
    peers: tuple[str, ...] = tuple(PEERS)
    """Which peers."""
    feeds: tuple[OurFeed, ...] = ("planes", "host_jpeg", "host", "reference")
    """Which of this project's feeds."""
    batch_size: int = 128
    """Images per batch."""
    image_size: int = 224
    """Pixels, height and width of what comes out."""
    workers: int = 1
    """Threads of each loader, or processes where a toolkit works with processes."""
    seconds: float = 4.0
    """Least duration of one turn of one loader, after its warm-up."""
    repeats: int = 3
    """Turns; the medians count."""

    def __post_init__(self) -> None:
        for name in self.peers:
            if name not in PEERS:
                raise ValueError(f"peers must be some of {', '.join(PEERS)}, got {name}")
        require_positive(self, "batch_size", "image_size", "workers", "seconds", "repeats")


@dataclass(frozen=True)
class _Turn:
    images_per_s: float
    images_per_core_s: float
    facts: dict[str, Any]


class _NotRunError(Exception):
    """A peer gives no rate; the message says why."""


def measure_peers(options: PeersOptions) -> list[dict[str, Any]]:
    """One result per loader, the fastest per core-second first, those that did not run last."""
    images = sorted(options.source.glob("*/*"))
    if not images:
        raise UserError(
            f"{options.source} has no class folders with images in them: name a split, such as IMAGENET/train"
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        takers = _feeds(options, folder) | _peers(options, folder)
        turns: dict[str, list[_Turn]] = {loader: [] for loader in takers}
        reasons: dict[str, str] = {}
        for _ in range(options.repeats):
            for loader, take in takers.items():
                if loader not in reasons:
                    try:
                        turns[loader].append(take())
                    except _NotRunError as error:
                        reasons[loader] = str(error)
    results = [
        {
            "benchmark": "peers",
            "loader": loader,
            "ours": loader in options.feeds,
            **_outcome(turns[loader], reasons.get(loader)),
            "repeats": options.repeats,
            "workers": options.workers,
            "batch_size": options.batch_size,
            "image_size": options.image_size,
            "images": len(images),
            "source_bytes_per_image": round(sum(path.stat().st_size for path in images) / len(images)),
            "page_cache": "warm",
        }
        for loader in takers
    ]
    return sorted(results, key=lambda result: -result.get("images_per_core_s", 0))


def _outcome(turns: list[_Turn], reason: str | None) -> dict[str, Any]:
    if reason is not None:
        return {"not_run": reason}
    return {
        **spread("images_per_core_s", [turn.images_per_core_s for turn in turns]),
        **spread("images_per_s", [turn.images_per_s for turn in turns]),
        **turns[0].facts,
    }


def _feeds(options: PeersOptions, folder: Path) -> dict[str, Callable[[], _Turn]]:
    """This project's feeds, on datasets converted from the source."""
    from benchmarks.feed_rate import FeedRateOptions, take_turn
    from benchmarks.instruments.datasets import FEED_KINDS
    from convert.dataset.manifest import load_manifest
    from convert.job.conversion import convert_split
    from convert.job.options import RunOptions

    def taker(feed: OurFeed) -> Callable[[], _Turn]:
        encoding = FEED_KINDS[feed].encoding
        directory = folder / encoding
        if not directory.exists():
            with contextlib.redirect_stdout(sys.stderr):
                convert_split(RunOptions(options.source, directory, encoding))
        manifest = load_manifest(directory)
        reads, gives = OURS[feed]
        facts = {
            "reads": reads,
            "gives": gives,
            "stored_bytes_per_image": round(manifest.payload_bytes / manifest.rows),
        }
        wanted = FeedRateOptions(
            (directory,),
            batch_size=options.batch_size,
            image_size=options.image_size,
            threads=options.workers,
            seconds=options.seconds,
        )

        def take() -> _Turn:
            turn = take_turn(wanted, feed, directory)
            return _Turn(turn.images_per_s, turn.images_per_core_s, facts)

        return take

    return {feed: taker(feed) for feed in options.feeds}


def _peers(options: PeersOptions, folder: Path) -> dict[str, Callable[[], _Turn]]:
    """The peers, each turn in a process of its own in their environment."""
    outcome_file = options.environment / OUTCOME_NAME
    if options.peers and not outcome_file.is_file():
        raise UserError(f"{options.environment} has no peers in it: 'make bench-peers' installs them")
    outcomes: dict[str, str] = json.loads(outcome_file.read_text()) if options.peers else {}

    def take(name: str) -> _Turn:
        problem = outcomes.get(PEERS[name].package, "it was not in the list of what to install")
        if problem:
            raise _NotRunError(f"not installed: {problem}")
        order = {
            "loader": name,
            "images": str(options.source.resolve()),
            "folder": str(folder / f"peer-{name}"),
            "batch_size": options.batch_size,
            "image_size": options.image_size,
            "workers": options.workers,
            "seconds": options.seconds,
        }
        command = [str(options.environment / "bin" / "python"), "-m", "benchmarks.peer_loaders.turn", json.dumps(order)]
        try:
            done = subprocess.run(
                command, env={**os.environ, "PYTHONPATH": str(_ROOT)}, capture_output=True, text=True,
                timeout=_TURN_SECONDS_MAX, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise _NotRunError(f"no end after {_TURN_SECONDS_MAX} s") from None
        if done.returncode:
            raise _NotRunError(f"installed, does not run: {last_error(done.stderr)}")
        result = json.loads(done.stdout)
        facts = {name: result[name] for name in ("package", "version", "reads", "gives")}
        facts["stored_bytes_per_image"] = round(result["stored_bytes"] / result["source_images"])
        return _Turn(result["images"] / result["wall_s"], result["images"] / result["cpu_s"], facts)

    return {name: (lambda name=name: take(name)) for name in options.peers}


def main() -> None:
    """Measure and print."""
    run_benchmark("peers.py", PeersOptions, measure_peers)


if __name__ == "__main__":
    main()
