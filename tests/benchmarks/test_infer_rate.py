"""The inference benchmark at its smallest size, as a person starts it."""

import pytest
from test_benchmarks import results_of

pytestmark = pytest.mark.usefixtures("short_network")


def test_infer_rate_measures_every_kind_of_file(tmp_path):
    options = ("--batch-size", 2, "--image-size", 32, "--calls", 3, "--repeats", 1)
    results = results_of("infer_rate", *options, cwd=tmp_path)
    assert [result["kind"] for result in results] == ["checkpoint", "mindir", "onnx", "onnx_int8"]
    for result in results:
        assert result["latency_ms"]["p99"] >= result["latency_ms"]["p50"] > 0
        assert result["images_per_s"] > 0
        assert result["images_per_core_s"] > 0
    sizes = {result["kind"]: result["file_bytes"] for result in results}
    assert sizes["onnx_int8"] < sizes["onnx"] / 3
