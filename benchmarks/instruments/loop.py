"""What the machine itself gives: copies of an independent compute loop, one process each.

Virtual cores may share a real one; the loop shows how much of a second core there is to have.
"""

from __future__ import annotations

import multiprocessing
import time


def loops_per_s(copies: int, seconds: float) -> float:
    """Rounds per second of so many copies together, measured for `seconds`."""
    with multiprocessing.get_context("spawn").Pool(copies) as pool:
        return sum(pool.map(_loop, [seconds] * copies, chunksize=1))


def _loop(seconds: float) -> float:
    """Rounds a second of a loop that stays in a core's own cache."""
    import numpy as np

    block = np.arange(16_384, dtype=np.uint8)
    rounds, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(100):
            np.bitwise_xor(block, 7, out=block)
        rounds += 1
    return rounds / (time.perf_counter() - start)
