"""Results -> Markdown tables; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from benchmarks.prediction.budget import REFERENCE_IMAGES_PER_S, Host, cores_needed, predict_step
from benchmarks.prediction.simulation import Scenario, simulate
from benchmarks.reporting.results import Result

Language = Literal["en", "zh"]

FEED_NAMES = {
    "planes": "planes, from yuv420",
    "host_jpeg": "host decoding, from jpeg",
    "host": "host decoding, from original files",
    "reference": "the reference's operators, from original files",
}
JITTERS = (0.0, 0.1, 0.2, 0.5, 1.0)
QUEUES = (1, 3, 18)
_SIMULATED_STEPS, _SIMULATED_RANKS = 1000, 8

_README_HEADS: dict[Language, tuple[str, ...]] = {
    "en": ("loader", "reads", "images per core-second", "times the reference's operators", "cores for 9,846 images/s"),
    "zh": ("加载方式", "读取", "每核每秒（CPU 时间）图片数", "相当于参考算子的倍数", "9,846 张/秒所需核数"),
}
_CLIENTS_HEADS: dict[Language, tuple[str, ...]] = {
    "en": ("tensors of", "loader", "reach the loop", "images per core-second", "times the framework's own, 1 worker"),
    "zh": (
        "框架的张量",
        "加载方式",
        "到达训练循环的",
        "每核每秒（CPU 时间）图片数",
        "相当于框架自带（1 个 worker）的倍数",
    ),
}
_GIVES: dict[Language, tuple[str, str]] = {
    "en": ("uint8 planes, one matrix an image", "float32 RGB, normalised"),
    "zh": ("uint8 平面，每张图像一个矩阵", "float32 RGB，已归一化"),
}
_OURS: dict[Language, str] = {"en": "this project, feed {}", "zh": "本项目，数据供给 {}"}
_NOT_RUN: dict[Language, str] = {"en": "not run: {}", "zh": "未运行：{}"}
_CHINESE = {
    "JPEG files": "JPEG 文件",
    "tar of JPEG files": "JPEG 文件的 tar 包",
    "MindRecord shards of JPEG files": "原始 JPEG 的 MindRecord 分片",
    "JPEG shards, short side 256": "JPEG 分片，短边 256",
    "yuv420 shards, short side 256": "yuv420 分片，短边 256",
    "its own file, jpg, longest side 500": "自有格式，jpg，长边 500",
    "its own file, raw, longest side 350": "自有格式，raw，长边 350",
}


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows))


def machine(results: Sequence[Result]) -> str:
    """Where and when results were measured, of what revision, and whether the machine was shared."""
    found = [result["environment"] for result in results]
    if not found:
        return "There are no results yet.\n"
    loads = [environment["load_1min"] for environment in found]
    machines = sorted({f"{environment['cores']} cores of {environment['cpu']}" for environment in found})
    versions = sorted({f"{name} {version}" for env in found for name, version in env["versions"].items() if version})
    revisions = sorted({environment["git"][:12] + environment["git"][40:] for environment in found})
    days = sorted({environment["measured_at"][:10] for environment in found})
    lines = [
        f"Machine: {'; '.join(machines)}. Versions: Python {found[0]['python']}, {', '.join(versions)}.",
        f"Revision of the source: {', '.join(revisions)}. Measured on {', '.join(days)}.",
    ]
    if max(loads) > 1.5 * found[0]["cores"]:
        lines.append(
            f"The machine was shared: its load average was {min(loads):.1f} to {max(loads):.1f} on {found[0]['cores']} cores. "
            "Trust figures per core-second, and ratios within one table; not images/s and milliseconds."
        )
    return "\n".join(lines) + "\n"


def rough(value: float) -> str:
    """A number as it can be trusted: three digits, none behind the point from 100 on."""
    if value >= 100:
        digits = len(str(int(value))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def with_spread(result: Mapping[str, Any], name: str, language: Language = "en") -> str:
    """The median of repeats, with least and greatest."""
    least, greatest = rough(result[f"{name}_min"]), rough(result[f"{name}_max"])
    return (
        f"{rough(result[name])} ({least} to {greatest})"
        if language == "en"
        else f"{rough(result[name])}（{least} 至 {greatest}）"
    )


def peers_for_readme(peers: Sequence[Result], language: Language) -> str:
    """One line per loader: what it reads, its rate, and what that means."""
    reference = next((peer["images_per_core_s"] for peer in peers if peer["loader"] == "reference"), None)
    rows = []
    for peer in peers:
        name = _OURS[language].format(peer["loader"]) if peer["ours"] else f"{peer['loader']} {peer.get('version', '')}"
        if "not_run" in peer:
            rows.append([name.strip(), _NOT_RUN[language].format(peer["not_run"]), "", "", ""])
            continue
        rate = peer["images_per_core_s"]
        times = rough(rate / reference) if reference else ""
        reads = _CHINESE.get(peer["reads"], peer["reads"]) if language == "zh" else peer["reads"]
        rows.append([name.strip(), reads, rough(rate), times, rough(cores_needed(REFERENCE_IMAGES_PER_S, rate))])
    return table(_README_HEADS[language], rows)


def peers_in_full(peers: Sequence[Result]) -> str:
    """The same with what each gives, its spread and the size it stores."""
    rows = []
    for peer in peers:
        name = f"**{peer['loader']}**" if peer["ours"] else f"{peer['loader']} {peer.get('version', '')}".strip()
        if "not_run" in peer:
            rows.append([name, peer["not_run"], "", "", ""])
        else:
            rate, stored = with_spread(peer, "images_per_core_s"), f"{peer['stored_bytes_per_image'] / 1e3:.0f}"
            rows.append([name, peer["reads"], peer["gives"], rate, stored])
    return table(("loader", "reads", "gives", "images per core-second", "KB stored per image"), rows)


def clients(results: Sequence[Result], language: Language) -> str:
    """One line per loader: what reaches the training loop, its rate, and that over its framework's own loader."""
    own = {one["framework"]: one["images_per_core_s"] for one in results if one["loader"].endswith(" 1 worker")}
    names = {"planes": ("planes", 0), "rgb": ('planes, images="rgb"', 1), "jpeg": ("host, jpeg", 0)}
    rows = []
    for one in results:
        name, gives = names.get(one["loader"], (one["loader"], 1))
        ours = _OURS[language].format(name) if one["loader"] in names else name
        times = rough(one["images_per_core_s"] / own[one["framework"]])
        rows.append(
            [one["framework"], ours, _GIVES[language][gives], with_spread(one, "images_per_core_s", language), times]
        )
    return table(_CLIENTS_HEADS[language], rows)


def feeds(rates: Sequence[Result]) -> str:
    """Every feed's rate, and its ratio to the reference's turn by turn."""
    rows = [
        [
            FEED_NAMES[rate["feed"]],
            with_spread(rate, "images_per_core_s"),
            rough(rate["images_per_s"]),
            rough(rate["times_reference"]) if "times_reference" in rate else "1",
            f"{rate['stored_bytes_per_image'] / 1e3:.0f}",
        ]
        for rate in rates
    ]
    heads = ("feed", "images per core-second", "images/s", "times the reference's operators", "KB stored per image")
    return table(heads, rows)


def conversions(rates: Sequence[Result]) -> str:
    """What converting and verifying cost, by encoding."""
    rows = [
        [
            rate["encoding"] + (f", {rate['check']}" if rate["encoding"] == "original" else ""),
            with_spread(rate, "images_per_core_s"),
            rough(rate["verify_mb_per_core_s"]),
            f"{rate['source_bytes_per_image'] / 1e3:.0f}",
            f"{rate['stored_bytes_per_image'] / 1e3:.0f}",
        ]
        for rate in rates
        if "verify_mb_per_core_s" in rate
    ]
    heads = ("encoding", "images per core-second", "verified MB per core-second", "KB of source", "KB stored")
    return table(heads, rows)


def conversion_scaling(scalings: Sequence[Result]) -> str:
    """What more workers gain over one, beside what loops gain."""
    rows = [
        [
            scaling["encoding"] + (f", {scaling['check']}" if scaling["encoding"] == "original" else ""),
            rough(scaling["images_per_s_one_worker"]),
            rough(scaling["images_per_s"]),
            f"{scaling['speedup']:.2f}",
            f"{scaling['loop_speedup']:.2f}",
            f"{scaling['speedup_over_loop']:.2f} ({scaling['speedup_over_loop_min']:.2f} to {scaling['speedup_over_loop_max']:.2f})",
        ]
        for scaling in scalings
    ]
    heads = (
        "encoding",
        "images/s, one worker",
        "images/s, all workers",
        "times one",
        "loops: times one",
        "over the loops",
    )
    return table(heads, rows)


def step_parts(step: Result) -> str:
    """Every part of one step, with its percentiles."""
    parts = {f"feed: {name}": times for name, times in step["stage_ms"].items()}
    names = {
        "feed_ms": "feed alone, sustained",
        "transfer_ms": "transfer of a ready batch",
        "compute_ms": "compute on a cached batch",
        "all_reduce_ms": "all-reduce of the gradients",
        "wait_ms": "together: waiting for the batch",
        "step_ms": "together: the whole step",
    }
    parts |= {words: step[name] for name, words in names.items() if step.get(name)}
    rows = [[name, *(f"{times[p]:,.1f}" for p in ("p50", "p95", "p99"))] for name, times in parts.items()]
    return table(("milliseconds", "p50", "p95", "p99"), rows)


def budget(rates: Sequence[Result], hosts: Sequence[Host]) -> str:
    """Cores needed and *predicted* step times, by feed and host."""
    heads = [f"{host.cores} cores, {host.cards} card{'s' if host.cards > 1 else ''}" for host in hosts]
    rows = []
    for rate in rates:
        per_core = rate["images_per_core_s"]
        steps = [predict_step(rate["feed"], per_core, host) for host in hosts]
        cells = [f"{step.step_ms:.1f} ({step.limited_by})" for step in steps]
        rows.append([FEED_NAMES[rate["feed"]], rough(cores_needed(REFERENCE_IMAGES_PER_S, per_core)), *cells])
    return table(("feed", "cores for 9,846 images/s", *(f"predicted ms, {head}" for head in heads)), rows)


@dataclass(frozen=True)
class JitterCase:
    """What varies in a simulation, and how much slack the feed has."""

    words: str
    feed_share: float
    """Mean time of a batch over mean time of a step on one rank."""
    varies: Literal["feed", "network"]
    queue: int
    """Batches ready beyond the one that is computed on."""

    @property
    def ratios(self) -> list[float]:
        """The simulated step over `max(compute, feed)`, for each of JITTERS."""
        return [_jitter_ratio(self, jitter) for jitter in JITTERS]


JITTER_CASES = (
    *(JitterCase("the feed, as slow as the network", 1.0, "feed", queue) for queue in QUEUES),
    *(JitterCase("the feed, twice as fast as the network", 0.5, "feed", queue) for queue in QUEUES),
    JitterCase("the network, feed twice as fast", 0.5, "network", QUEUES[-1]),
)


def jitter() -> str:
    """What jitter of the feed, and of the network, does to the formula."""
    rows = [[case.words, str(case.queue), *(f"{ratio:.2f}" for ratio in case.ratios)] for case in JITTER_CASES]
    return table(("what varies", "batches ready", *(f"by {jitter:.0%}" for jitter in JITTERS)), rows)


@cache
def _jitter_ratio(case: JitterCase, jitter: float) -> float:
    scenario = Scenario(
        ranks=_SIMULATED_RANKS,
        queue=case.queue,
        service_ms=10 * case.feed_share,
        compute_ms=10,
        service_cv=jitter if case.varies == "feed" else 0,
        compute_cv=jitter if case.varies == "network" else 0,
    )
    return simulate(scenario, steps=_SIMULATED_STEPS) / scenario.formula_ms
