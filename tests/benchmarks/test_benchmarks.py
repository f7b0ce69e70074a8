"""Every benchmark at its smallest size, as a person starts it."""

import json
import shutil
import subprocess
import sys

import processes
import pytest

from benchmarks.instruments import harness
from benchmarks.instruments.clock import cpu_seconds
from benchmarks.instruments.harness import drop_from_page_cache


def run(name, *options, cwd=None):
    """Start a benchmark by its file."""
    return processes.run([sys.executable, processes.ROOT / "benchmarks" / f"{name}.py", *options], cwd)


def results_of(name, *options, cwd, benchmark=None):
    """Run a benchmark; its JSON lines, which stdout and the file must both hold. `benchmark`: what they name, if not the file."""
    output = cwd / "result.json"
    done = run(name, *options, "--json", output, cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert done.stdout == output.read_text()
    results = [json.loads(line) for line in done.stdout.splitlines()]
    for result in results:
        assert result["benchmark"] == (benchmark or name)
        assert {"cpu", "cores", "python", "versions", "git"} <= result["environment"].keys()
    return results


def test_a_cold_page_cache_leaves_images_put_aside_alone(planes_dataset, tmp_path):
    data = shutil.copytree(planes_dataset, tmp_path / "data")
    (data / "quarantine" / "n01440764").mkdir(parents=True)
    drop_from_page_cache(data)


def test_an_arm_processor_has_a_name_too(tmp_path, monkeypatch):
    """Where the kernel gives numbers only, lscpu knows."""
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nBogoMIPS\t: 200.00\nCPU implementer\t: 0x48\n")
    monkeypatch.setattr(harness, "_CPUINFO", tmp_path / "cpuinfo")
    program = tmp_path / "lscpu"
    program.write_text("#!/bin/sh\necho 'Architecture:  aarch64'\necho 'Model name:    Kunpeng-920'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert harness.environment()["cpu"] == "Kunpeng-920"


@pytest.mark.parametrize("dataset", ["original_dataset", "planes_dataset"])
def test_feed_rate_measures_both_feeds_from_one_dataset(dataset, request, tmp_path):
    data = request.getfixturevalue(dataset)
    small = ("--batch-size", 16, "--image-size", 64, "--seconds", 0.2, "--repeats", 1)
    planes, reference = results_of("feed_rate", "--data", data, "--feeds", "planes", "reference", *small, cwd=tmp_path)
    assert (planes["feed"], reference["feed"]) == ("planes", "reference")
    assert planes["images_per_core_s"] > 0
    assert reference["images_per_core_s"] > 0
    assert planes["times_reference"] == pytest.approx(planes["images_per_core_s"] / reference["images_per_core_s"])
    given = {"original_dataset": reference, "planes_dataset": planes}[dataset]
    assert given["images"] == "as given"
    assert {planes["images"], reference["images"]} - {"as given"}


def test_feed_rate_measures_every_feed_and_a_cold_start(original_dataset, tmp_path):
    small = ("--batch-size", 16, "--image-size", 64, "--page-cache", "cold", "--repeats", 1)
    results = results_of("feed_rate", "--data", original_dataset, *small, cwd=tmp_path)
    assert [result["feed"] for result in results] == ["planes", "host", "host_jpeg", "reference"]
    assert [result["encoding"] for result in results] == ["yuv420", "original", "jpeg", "original"]
    assert {result["page_cache"] for result in results} == {"cold"}


def test_open_rate_opens_generated_rows(tmp_path):
    (result,) = results_of("open_rate", "--rows", 5000, "--shards", 3, "--ranks", 2, cwd=tmp_path)
    assert (result["rows"], result["shards"]) == (5000, 3)
    assert result["open_s"] > 0


def test_stored_size_shows_that_larger_is_closer(tree, tmp_path):
    options = ("--source", tree / "train", "--short-sides", 128, 0, "--crops", 1)
    small, whole = results_of("stored_size", *options, cwd=tmp_path)
    assert small["grey_levels_mean"] > whole["grey_levels_mean"] > 0
    assert small["stored_bytes_per_image"] < whole["stored_bytes_per_image"]
    assert small["images"] == 70


def test_convert_rate_measures_conversion_and_verification(tree, tmp_path):
    results = results_of("convert_rate", "--source", tree / "train", "--copies", 1, "--repeats", 1, cwd=tmp_path)
    assert [result["encoding"] for result in results] == ["yuv420", "original"]
    for result in results:
        assert result["rows"] == 70
        assert result["images_per_core_s"] > 0
        assert result["verify_mb_per_core_s"] > 0


def test_step_time_names_the_bottleneck(planes_dataset, tmp_path, short_network):
    (result,) = results_of(
        "step_time", "--data", planes_dataset, "--batch-size", 8, "--image-size", 32, "--steps", 2, "--batches", 10,
        "--device-target", "CPU", cwd=tmp_path,
    )  # fmt: skip
    assert result["device"] == "CPU"
    assert list(result["stage_ms"]) == ["read", "crop", "batch"]
    assert result["step_ms"]["p50"] >= result["wait_ms"]["p50"]
    assert result["verdict"]
    for feed in result["feeds"].values():
        assert feed["cores_for_8_cards_at_104_ms"] == pytest.approx(8 * 128 / 0.104 / feed["images_per_core_s"])


def test_a_feed_without_a_dataset_is_told(tmp_path):
    done = run("feed_rate", "--data", tmp_path / "nothing", cwd=tmp_path)
    assert done.returncode == 1
    assert "nothing" in done.stderr
    assert "does not exist" in done.stderr
    assert "Traceback" not in done.stderr


def test_scaling_measures_every_axis(planes_dataset, tmp_path):
    small = ("--image-size", 64, "--batch-size", 8, "--seconds", 0.1, "--repeats", 1, "--shard-rows", 2000)
    values = ("--threads", 1, "--ranks", 2, "--batches", 8, "--shards", 2, "--rows", 1000)
    results = results_of("scaling", "--data", planes_dataset, *small, *values, cwd=tmp_path)
    assert [(result["axis"], result["value"]) for result in results] == [
        ("threads", 1), ("ranks", 2), ("batch", 8), ("shards", 2), ("rows", 1000),
    ]  # fmt: skip
    assert all(result["images_per_core_s"] > 0 for result in results[:3])
    assert all(result["open_s"] > 0 for result in results[3:])


def test_threads_are_held_against_a_loop(planes_dataset, tmp_path):
    options = ("--axes", "threads", "--threads", 1, 2, "--batch-size", 16, "--image-size", 64)
    brief = ("--seconds", 0.2, "--repeats", 1)
    one, two = results_of("scaling", "--data", planes_dataset, *options, *brief, cwd=tmp_path)
    assert one["feed_over_loop"] == 1
    assert two["feed_over_loop"] > 0


def test_cpu_time_counts_children_at_work():
    """A child that is still running, and one that has ended."""
    program = "import time\nwhile time.process_time() < 0.3: pass\nprint('busy', flush=True)\ninput()"
    before = cpu_seconds()
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "busy\n"
    assert cpu_seconds() - before >= 0.25
    child.communicate("\n")
    assert cpu_seconds() - before >= 0.25


def test_cpu_time_stands_beside_wall_time_in_every_result(planes_dataset, tmp_path):
    (result,) = results_of("open_rate", "--rows", 100, "--shards", 1, "--ranks", 1, "--batch-size", 8, cwd=tmp_path)
    environment = result["environment"]
    assert environment["process_cpu_s"] > 0
    assert environment["process_wall_s"] > 0
    assert environment["measured_at"].endswith("Z")
