"""One turn of one peer's loader, in the peers' environment: takes a request as JSON, prints one JSON line.

python -m benchmarks.peer_loaders.turn '{"loader": "torchvision", "images": "...", ...}'
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.instruments.clock import cpu_seconds
from benchmarks.peer_loaders.catalogue import PEERS
from benchmarks.peer_loaders.protocol import Request

WARMUP_BATCHES = 2
BATCHES_MIN = 3


def take_turn(order: dict[str, Any]) -> dict[str, Any]:
    """Prepare if need be, then take batches for `seconds`, checking their shape.

    Raises:
        ValueError: a batch has another shape than was asked for.
    """
    peer = PEERS[order["loader"]]
    loader = peer.loader()
    images = tuple(sorted(Path(order["images"]).glob("*/*")))
    folder = Path(order["folder"])
    request = Request(images, folder, order["batch_size"], order["image_size"], order["workers"])
    if not folder.exists():
        folder.mkdir(parents=True)
        loader.prepare(request)
    batches = loader.batches(request)
    for _ in range(WARMUP_BATCHES):
        next(batches)
    count = 0
    wall_start, cpu_start = time.perf_counter(), cpu_seconds()
    for batch in batches:
        shape = tuple(batch.shape)
        if shape[0] != request.batch_size or sorted(shape[1:]) != sorted((3, request.image_size, request.image_size)):
            raise ValueError(f"{order['loader']} gave a batch of shape {shape}")
        count += 1
        if count >= BATCHES_MIN and time.perf_counter() - wall_start >= order["seconds"]:
            break
    wall_s, cpu_s = time.perf_counter() - wall_start, cpu_seconds() - cpu_start
    return {
        "images": count * request.batch_size,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "package": peer.package,
        "version": importlib.metadata.version(peer.package),
        "reads": loader.reads,
        "gives": loader.gives,
        "source_images": len(images),
        "stored_bytes": sum(path.stat().st_size for path in (list(folder.iterdir()) or images)),
    }


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        outcome = take_turn(json.loads(sys.argv[1]))
    print(json.dumps(outcome), flush=True)
