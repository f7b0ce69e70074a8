"""The one exception that is meant for people."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right.

    The message is one sentence or two: what is wrong, where (path, shard, row or key), what to do.
    Commands print it without a traceback and exit with status 1.
    """


class BadImageError(Exception):
    """An image that must not get into a dataset; the message is the reason, without the key."""
