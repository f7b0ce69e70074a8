"""The demo, whole: what a newcomer sees first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_demo_goes_from_pictures_to_an_exported_network(tmp_path):
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "demo.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (run,) = tmp_path.glob("runs/demo-*")
    assert (run / "run" / "checkpoints" / "best.ckpt").is_file()
    assert {"tinydarknet.onnx", "tinydarknet.mindir"} <= {path.name for path in (run / "export").iterdir()}
    assert done.stdout.splitlines()[-1].startswith("together")
