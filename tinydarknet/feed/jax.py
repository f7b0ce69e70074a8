"""What a JAX network takes of a feed's batches."""

from __future__ import annotations

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from numpy.typing import NDArray

__all__ = ["planes_to_rgb"]


Array: TypeAlias = jax.Array | NDArray[Any]


def planes_to_rgb(y: Array, uv: Array, colour: Array) -> jax.Array:
    """Planes and one colour matrix per image -> RGB; the matrix already contains the normalisation. For use under `jit`.

    Args:
        y: uint8 [B, 1, S, S].
        uv: uint8 [B, 2, S/2, S/2]; each sample serves its 2x2 pixels.
        colour: float32 [B, 3, 4].

    Returns:
        float32 [B, 3, S, S], normalised RGB.
    """
    height, width = uv.shape[2:]
    column = jnp.asarray(colour)[..., None, None]
    chroma = jnp.asarray(uv).astype(jnp.float32)
    half = column[:, :, 1] * chroma[:, 0:1] + column[:, :, 2] * chroma[:, 1:2] + column[:, :, 3]
    luma = jnp.asarray(y).astype(jnp.float32).reshape(-1, 1, height, 2, width, 2)
    image = column[:, :, 0, :, :, None, None] * luma + half[:, :, :, None, :, None]
    return image.reshape(-1, 3, 2 * height, 2 * width)
