"""What is meant for people: the errors that they can put right, and the commonest check of options."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right.

    The message is one sentence or two: what is wrong, where (path, shard, row or key), what to do.
    Commands print it without a traceback and exit with status 1.
    """


class BadImageError(Exception):
    """An image that must not get into a dataset; the message is the reason, without the key."""


def require_at_least(options: object, lowest: float, *names: str) -> None:
    """Raise ValueError for the first of these fields of a dataclass that is below `lowest`."""
    for name in names:
        if getattr(options, name) < lowest:
            raise ValueError(f"{name} must be at least {lowest}, got {getattr(options, name)}")
