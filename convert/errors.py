"""The exceptions that are meant for people, and the checks of options whose messages are.

UserError               something the user can put right; every other is one
    BadValueError       a value that cannot be used; a ValueError too
BadImageError           an image that must not get into a dataset; never leaves a conversion
"""

from __future__ import annotations

import operator


class UserError(Exception):
    """Something the user can put right.

    The message is one sentence or two: what is wrong, where (path, shard, row or key), what to do.
    Commands print it without a traceback and exit with status 1.
    """

    parameters: tuple[str, ...] = ()
    """Names of the parameters that another value would help; a command adds its options of these names."""

    def __init__(self, message: str, *parameters: str) -> None:
        super().__init__(message, *parameters)
        self.parameters = parameters

    def __str__(self) -> str:
        return str(self.args[0])


class BadValueError(UserError, ValueError):
    """A value that cannot be used."""

    def __init__(self, name: str, rule: str, value: object) -> None:
        """Say that the parameter `name` breaks the `rule` ("must be ..."), having this `value`."""
        super().__init__(f"{name} {rule}, got {value!r}", name)
        self.name, self.rule, self.value = name, rule, value

    def __reduce__(self) -> tuple[type[BadValueError], tuple[str, str, object]]:
        return type(self), (self.name, self.rule, self.value)


def check_integer(name: str, value: object, *, least: int, below: int | None = None) -> None:
    """Check what the parameter `name` of a public function was given; numpy's integers are integers too.

    Raises:
        BadValueError: it is no integer, or not in [least, below).
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least or (below is not None and number >= below):
        allowed = f"at least {least}" if below is None else f"in [{least}, {below})"
        raise BadValueError(name, f"must be an integer, {allowed}", value)


class BadImageError(Exception):
    """An image that must not get into a dataset; the message is the reason, without the key."""


def require_at_least(options: object, least: float, *names: str) -> None:
    """Check fields of an options class, each a number or a tuple of numbers, in its __post_init__.

    Raises:
        ValueError: one is less than `least`, or not a number.
    """
    for name in names:
        value = getattr(options, name)
        numbers, each = (value, " each") if isinstance(value, tuple) else ((value,), "")
        if not all(number >= least for number in numbers):
            raise ValueError(f"{name} must be at least {least}{each}, got {value}")


def require_positive(options: object, *names: str) -> None:
    """Check fields of an options class, each a number, in its __post_init__.

    Raises:
        ValueError: one is not above 0.
    """
    for name in names:
        if not getattr(options, name) > 0:
            raise ValueError(f"{name} must be positive, got {getattr(options, name)}")


def require_some(options: object, *names: str) -> None:
    """Check fields of an options class, each a tuple, in its __post_init__.

    Raises:
        ValueError: one is empty.
    """
    for name in names:
        if not getattr(options, name):
            raise ValueError(f"{name} needs at least one value, got none")
