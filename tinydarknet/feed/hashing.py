"""Random numbers as a function: of (seed, epoch, id), never of a generator's state."""

from __future__ import annotations

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix64(words: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA 2014), element by element; uint64 in and out."""
    with np.errstate(over="ignore"):
        mixed = words + _GOLDEN
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


def hash_ids(seed: int, epoch: int, ids: np.ndarray) -> np.ndarray:
    """One 64-bit word per id, uint64 [n]; an independent-looking sequence for every (seed, epoch)."""
    stream = mix64(mix64(np.array([seed % 2**64], np.uint64)) ^ np.array([epoch % 2**64], np.uint64))
    return mix64(mix64(ids.astype(np.uint64)) ^ stream)


def uniforms(seed: int, epoch: int, ids: np.ndarray, count: int) -> np.ndarray:
    """`count` numbers in [0, 1) for every id, float64 [count, n]."""
    lanes = np.arange(1, count + 1, dtype=np.uint64)[:, None]
    with np.errstate(over="ignore"):
        words = mix64(hash_ids(seed, epoch, ids)[None, :] + lanes * _GOLDEN)
    return (words >> np.uint64(11)) * 2.0**-53
