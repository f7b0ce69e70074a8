"""The entry point by which MindSpore Hub makes a network; a plain convention, no package is needed for it."""

from __future__ import annotations

from typing import Any

NAME = "tinydarknet"


def create_network(name: str, *args: Any, **kwargs: Any) -> Any:
    """Make `tinydarknet.model.network.TinyDarkNet(*args, **kwargs)`, such as `create_network("tinydarknet", num_classes=10)`.

    Raises:
        ValueError: `name` is another network.
    """
    if name != NAME:
        raise ValueError(f"the only network here is {NAME!r}, got {name!r}")
    from tinydarknet.model.network import TinyDarkNet

    return TinyDarkNet(*args, **kwargs)
