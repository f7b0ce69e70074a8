"""Run folders as training leaves them, with made-up figures."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from convert.dataset.manifest import SkippedItem
from convert.image.encoding import Encoding
from tinydarknet.run_folder.dataset_card import DatasetCard, Treatment

PER_EPOCH, TOTAL, BATCH = 20, 60, 32
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)
"""One red pixel."""
HOSTILE = """</script><script>alert(1)</script><img src=x onerror=alert(2)>"'&<b>{{ 7*7 }}$\\frac{1}{2$"""
"""Markup, a template, mathematics: none of it may work."""


def start(step: int, time_s: float, **changes: Any) -> dict[str, Any]:
    fields = {"step": step, "total_steps": TOTAL, "steps_per_epoch": PER_EPOCH, "global_batch": BATCH, "world_size": 1}
    return {"event": "start", **fields, "unix_time_s": time_s, **changes}


def steps(first: int, last: int, time_s: float, salt: str = "") -> list[dict[str, Any]]:
    """Events of the steps in (first, last]; other figures with another `salt`."""
    events = []
    for number in range(first + 1, last + 1):
        rng = random.Random(f"{number}{salt}")
        fields = {
            "step": number,
            "epoch": (number - 1) // PER_EPOCH + 1,
            "loss": 3 * math.exp(-number / 30) + rng.random(),
            "learning_rate": 0.1 / (1 + number),
            "images_per_s": round(rng.uniform(800, 1200), 2),
            "waiting_share": round(rng.random() / 50, 4),
            "image_size": 224,
        }
        events.append({"event": "step", **fields, "ids_crc32": 7, "unix_time_s": time_s + number})
        if number % PER_EPOCH == 0:
            top1 = 10 + number
            counts = {"top1": top1, "top5": top1 + 20, "total": 100, "seconds": 1.5}
            events.append({"event": "evaluation", "step": number, **counts, "unix_time_s": time_s + number})
            events.append({"event": "checkpoint", "step": number, "unix_time_s": time_s + number})
    return events


def finished(salt: str = "") -> list[dict[str, Any]]:
    """A run that nobody disturbed."""
    return [
        start(0, 1e9),
        *steps(0, TOTAL, 1e9, salt),
        {"event": "end", "step": TOTAL, "status": 0, "unix_time_s": 1e9 + 99},
    ]


def lines(events: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)


def card(**changes: Any) -> DatasetCard:
    base = DatasetCard(
        path="data/train", split="train", encoding=Encoding("yuv420", 256), images=654, classes=3,
        images_per_class=(217, 218.0, 219), shards=2, payload_bytes=87_654_321, source_bytes=98_765_432, seed=4,
        logical_digest="ab" * 32, versions={"convert": "0.1.0"},
        treated=(Treatment("encoded", "", 650), Treatment("encoded", "CMYK", 4)),
        left_out=2, left_out_reasons=(("truncated file", 2),),
        left_out_named=(SkippedItem("n1/a.JPEG", "truncated file"), SkippedItem("n1/b.JPEG", "truncated file")),
    )  # fmt: skip
    return dataclasses.replace(base, **changes)


def write_run(folder: Path, log: str, config: dict[str, Any] | None = None, **environment: Any) -> Path:
    """A run's folder with this log."""
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text(log)
    (folder / "config.json").write_text(json.dumps(config or {"lr_init": 0.05, "epoch_size": 3, "seed": 1}))
    fields = {
        "versions": {"python": "3.11.7", "mindspore": "2.8.0"},
        "git_revision": "c0ffee",
        "device": {"target": "CPU", "rank": 0, "world_size": 1},
        "dataset_digest": "ab" * 32,
        "datasets": {"train": dataclasses.asdict(card())},
        **environment,
    }
    (folder / "environment.json").write_text(json.dumps(fields))
    return folder


def resumed_log() -> str:
    """Killed while it wrote a line at step 33, gone on with from 20 on two ranks, killed at 31, from 20 again to 50, stopped."""
    torn = json.dumps(steps(32, 33, 1e9)[0])[:57]
    return (
        lines([start(0, 1e9), *steps(0, 32, 1e9)])
        + torn
        + lines([start(20, 2e9, world_size=2), *steps(20, 31, 2e9, "second")])
        + lines([start(20, 3e9), *steps(20, 50, 3e9, "third")])
        + lines([{"event": "end", "step": 50, "status": 75, "unix_time_s": 3e9 + 60}])
    )


def report(*folders: Path, out: Path | None = None) -> str:
    """The page's text."""
    from tinydarknet.report.__main__ import PAGE_NAME, ReportOptions, write_report

    write_report(ReportOptions(runs=folders, out=out))
    return (out or folders[0] / PAGE_NAME).read_text("utf-8")
