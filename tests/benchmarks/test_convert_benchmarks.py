"""The benchmarks of conversion at their smallest size, as a person starts them."""

import pytest
from test_benchmarks import results_of


def test_convert_rate_holds_two_workers_against_two_loops(tree, tmp_path):
    options = ("--copies", 1, "--scaling", "--workers", 2, "--encodings", "original", "--check", "scan", "--repeats", 1)
    (result,) = results_of(
        "convert_rate", "--source", tree / "train", *options, cwd=tmp_path, benchmark="convert_scaling"
    )
    assert result["speedup"] == pytest.approx(result["images_per_s"] / result["images_per_s_one_worker"])
    assert result["speedup_over_loop"] == pytest.approx(result["speedup"] / result["loop_speedup"])


def test_convert_rate_multiplies_a_sample_by_links(tree, tmp_path):
    options = ("--copies", 2, "--shard-rows", 35, "--encodings", "original", "--check", "scan", "--repeats", 1)
    (result,) = results_of("convert_rate", "--source", tree / "train", *options, cwd=tmp_path)
    assert (result["rows"], result["shards"], result["check"]) == (140, 4, "scan")
    assert 0 < result["worker_memory_mb_max"] < 1000


def test_convert_rate_makes_2000_images_of_a_smaller_sample(tree, tmp_path):
    options = ("--encodings", "original", "--check", "scan", "--repeats", 1)
    (result,) = results_of("convert_rate", "--source", tree / "train", *options, cwd=tmp_path)
    assert (result["rows"], result["copies"], result["shards"]) == (2030, 29, 3)


def test_convert_estimate_holds_doctor_against_the_conversion(tree, tmp_path):
    (result,) = results_of("convert_estimate", "--source", tree / "train", "--repeats", 1, cwd=tmp_path)
    assert result["estimated_over_real"] == pytest.approx(result["estimated_s"][0] / result["real_s"][0])


def test_convert_scale_measures_the_commands_around_the_shards(tmp_path):
    (result,) = results_of("convert_scale", "--images", 3000, "--classes", 7, cwd=tmp_path)
    assert (result["images"], result["shards"]) == (3000, 16)
    for command in ("finish", "finished_again", "verify_quick", "inspect"):
        assert result[f"{command}_s"] > 0
        assert result[f"{command}_peak_mb"] > 10
