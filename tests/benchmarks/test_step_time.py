"""The verdict on a training step: whatever is slowed by 30 ms, where it really happens, is named.

A busy machine can delay another stage by more: then the same is tried with a longer delay.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import processes
import pytest

from benchmarks.instruments.hooks import slowed
from benchmarks.instruments.verdict import name_bottleneck
from benchmarks.step_time import StepTimeOptions, time_step
from convert.errors import UserError

HERE = Path(__file__).resolve().parent
DELAYS_MS = (30, 30, 120, 480)
SMALL = {"image_size": 16, "batch_size": 4, "steps": 10, "batches": 20, "device_target": "CPU"}


@pytest.fixture
def timed(monkeypatch):
    """Measure in this process, with a network of one layer: the 30 ms stand out on any machine."""
    from small_network import OneLayer

    from benchmarks.instruments import step_parts

    monkeypatch.setattr(step_parts, "TinyDarkNet", OneLayer)
    return lambda data, **changes: time_step(StepTimeOptions(**{**SMALL, **changes}), data)


def named(slow: str, measure: Callable[[float], dict]) -> dict:
    """The first result that names `slow`, else the last."""
    for delay_ms in DELAYS_MS:
        result = measure(delay_ms)
        if result["bottleneck"] == slow:
            break
    return result


@pytest.mark.parametrize("slow", ["read", "crop", "batch", "transfer", "compute"])
def test_the_slowed_stage_is_named(slow, planes_dataset, timed):
    result = named(slow, lambda delay_ms: timed(planes_dataset, slow=slow, slow_ms=delay_ms))
    assert result["bottleneck"] == slow, result["verdict"]
    assert slow.replace("compute", "it computes") in result["verdict"]


def test_on_a_card_the_step_is_trainings_own(planes_dataset):
    """Its precision, its loss scale, its activation, and stretches by themselves (here step by step)."""
    from benchmarks.instruments import step_parts
    from benchmarks.instruments.training_feed import TrainingFeed
    from tinydarknet.device import Device

    opening = TrainingFeed(planes_dataset, "yuv420", "auto", batch_size=4, image_size=16, threads=1)
    step = step_parts.build_step(opening.open(1), planes_dataset, Device("Ascend", 0, 1, soc="ascend910b"), 1)
    assert step.dynamic
    assert step.classifier.network.get_flags()["fp16"]
    assert "FusedLeakyReLU" in str(step)
    step = step_parts.build_step(opening.open(1), planes_dataset, Device("CPU", 0, 1), 1)
    assert step_parts.time_sink(step, opening.open(3), 1) > 0


def test_slow_decoding_is_named(original_dataset, timed):
    result = named("decode", lambda delay_ms: timed(original_dataset, slow="decode", slow_ms=delay_ms, feed="host"))
    assert result["bottleneck"] == "decode", result["verdict"]


def test_a_slow_all_reduce_between_two_ranks_is_named(planes_dataset, tmp_path):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    options += [f"--data={planes_dataset}", f"--json={tmp_path / 'result.json'}"]
    command = [sys.executable, HERE / "small_network.py", "--ranks=2", "--slow=all-reduce", *options]

    def measure(delay_ms: float) -> dict:
        done = processes.run([*command, f"--slow-ms={delay_ms}"], tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout == (tmp_path / "result.json").read_text()
        (result,) = map(json.loads, done.stdout.splitlines())
        assert result["all_reduce_ms"]["p50"] > delay_ms
        assert f"rank {result['slowest_rank']} is the slowest" in done.stderr
        return result

    result = named("all-reduce", measure)
    assert result["bottleneck"] == "all-reduce", result["verdict"]
    assert result["ranks"] == len(result["rank_pace_ms"]) == 2
    assert result["rank_pace_ms"][result["slowest_rank"]] == max(result["rank_pace_ms"])


def test_a_stage_that_the_feed_does_not_have_cannot_be_slowed(planes_dataset, timed):
    with pytest.raises(UserError, match="its feed has a stage crop and none called decode"):
        timed(planes_dataset, slow="decode")
    with pytest.raises(UserError, match="add --ranks 2"):
        timed(planes_dataset, slow="all-reduce")


def test_slowing_ends_with_its_context():
    from tinydarknet.feed.prefetch import ThreadedFeed

    original = ThreadedFeed.dataset
    with slowed("transfer", 30):
        assert ThreadedFeed.dataset is not original
    assert ThreadedFeed.dataset is original


STAGES = {"read": 1.0, "crop": 2.0, "batch": 0.5}


def test_the_verdict_is_compute_when_the_network_does_not_wait():
    verdict = name_bottleneck(STAGES, compute_ms=100, feed_ms=3.5, step_ms=101, wait_ms=0.3)
    assert verdict.bottleneck == "compute"
    assert "network is the bottleneck" in verdict.sentence


def test_the_verdict_is_compute_while_the_feed_is_slow_but_the_network_slower():
    verdict = name_bottleneck(STAGES, compute_ms=40, feed_ms=35, step_ms=60, wait_ms=10)
    assert verdict.bottleneck == "compute"


def test_the_all_reduce_counts_as_the_networks_time():
    verdict = name_bottleneck(STAGES, compute_ms=20, all_reduce_ms=25, feed_ms=40, step_ms=60, wait_ms=10)
    assert verdict.bottleneck == "all-reduce"
    assert "25.0 ms to reduce" in verdict.sentence


@pytest.mark.parametrize("slowed_stage", list(STAGES))
def test_the_verdict_names_the_largest_stage(slowed_stage):
    stages = {**STAGES, slowed_stage: STAGES[slowed_stage] + 30}
    verdict = name_bottleneck(stages, compute_ms=10, feed_ms=sum(stages.values()), step_ms=34, wait_ms=24)
    assert verdict.bottleneck == slowed_stage
    assert f"at its stage {slowed_stage}" in verdict.sentence
