"""The budget's arithmetic, and the simulation against closed forms."""

import pytest

from benchmarks.prediction.budget import REFERENCE_IMAGES_PER_S, Host, closeness, cores_needed, predict_step
from benchmarks.prediction.simulation import Scenario, simulate


def test_the_reference_consumes_9846_images_a_second():
    assert pytest.approx(9846, abs=0.5) == REFERENCE_IMAGES_PER_S


def test_cores_needed_is_rate_over_rate():
    assert cores_needed(9846, 2461.5) == pytest.approx(4)
    with pytest.raises(ValueError, match="must be positive, got 0"):
        cores_needed(9846, 0)


@pytest.mark.parametrize(
    ("images_per_core_s", "step_ms", "limited_by"), [(1024 / 56, 1000, "feed"), (10_240, 15, "compute")]
)
def test_the_slower_of_feed_and_compute_is_predicted(images_per_core_s, step_ms, limited_by):
    prediction = predict_step("planes", images_per_core_s, Host(cores=56, cards=8, batch_size=128, compute_ms=15))
    assert prediction.step_ms == pytest.approx(step_ms)
    assert prediction.limited_by == limited_by
    for words in ("predicted", "56 cores", "1024 images", "compute 15.0 ms", f"limited by {limited_by}"):
        assert words in prediction.sentence


def test_closeness_holds_the_prediction_against_the_published_step():
    sentence = closeness(predict_step("reference", 8 * 128 / 56 / 0.078, Host(compute_ms=15)))
    assert "78 ms, 75% of the published 104 ms" in sentence
    assert "176 images/s per core would give 104 ms, 234 were measured" in sentence


def test_a_host_without_cores_is_refused():
    with pytest.raises(ValueError, match="cores must be positive, got 0"):
        Host(cores=0)


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario(ranks=3, service_ms=4, compute_ms=10),
        Scenario(ranks=3, service_ms=25, compute_ms=10),
        Scenario(ranks=2, service_ms=25, compute_ms=10, threads=2, queue=4),
        Scenario(ranks=2, service_ms=4, compute_ms=10, all_reduce_ms=3, queue=1),
    ],
)
def test_without_jitter_the_formula_is_exact(scenario):
    assert simulate(scenario, steps=2001) == pytest.approx(scenario.formula_ms, rel=1e-3)


@pytest.mark.parametrize("queue", [1, 2, 8])
def test_one_exponential_rank_is_a_closed_cycle_of_two_servers(queue):
    """Gordon and Newell 1967: with n customers and equal rates the throughput is n / (n + 1) of a server's rate."""
    scenario = Scenario(ranks=1, queue=queue, service_ms=10, compute_ms=10, shape="exponential")
    customers = queue + 1
    assert simulate(scenario, steps=100_000) == pytest.approx(10 * (customers + 1) / customers, rel=0.02)


@pytest.mark.parametrize("queue", [1, 4])
def test_unequal_exponential_rates_follow_the_finite_queue(queue):
    """The same cycle, compute twice as fast: busy with probability (1 - r**n) / (1 - r**(n + 1)), r = service / compute rate."""
    scenario = Scenario(ranks=1, queue=queue, service_ms=20, compute_ms=10, shape="exponential")
    customers, r = queue + 1, 10 / 20
    busy = 1 - (1 - r) / (1 - r ** (customers + 1))
    assert simulate(scenario, steps=100_000) == pytest.approx(10 / busy, rel=0.02)


@pytest.mark.parametrize("ranks", [1, 2, 8])
def test_ranks_wait_for_the_slowest_of_them(ranks):
    """The mean of the largest of n exponential draws is the n-th harmonic number times their mean."""
    scenario = Scenario(ranks=ranks, service_ms=0, compute_ms=10, all_reduce_ms=1, shape="exponential")
    harmonic = sum(1 / k for k in range(1, ranks + 1))
    assert simulate(scenario, steps=20_000) == pytest.approx(10 * harmonic + 1, rel=0.03)


def test_longer_queues_take_the_feeds_jitter_away():
    steps = [simulate(Scenario(service_ms=8, service_cv=0.5, queue=queue)) for queue in (1, 3, 18)]
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] == pytest.approx(10, rel=0.01)


def test_a_scenario_without_queue_is_refused():
    with pytest.raises(ValueError, match="queue must be at least 1, got 0"):
        Scenario(queue=0)
