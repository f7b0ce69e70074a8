"""Worker processes are gone when their pool is, whatever state they are in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROGRAM = """
import os, signal
from convert.pool import process_pool

if __name__ == "__main__":
    with process_pool(1, ()) as executor:
        worker = executor.submit(os.getpid).result()
        os.kill(worker, signal.SIGSTOP)
    try:
        os.kill(worker, 0)
    except ProcessLookupError:
        print("gone")
"""


def test_a_worker_that_answers_nobody_ends_with_its_pool(tmp_path):
    """As one does that waits for a lock which another worker held when it was killed."""
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "gone\n", done.stderr
