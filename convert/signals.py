"""Signals, taken for as long as a block lasts."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


def guard_start() -> None:
    """Until a command has begun, end this process at Ctrl+C with one word: its libraries take a second to load."""

    def end(*_: object) -> None:
        os.write(2, b"interrupted\n")
        os._exit(128 + signal.SIGINT)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end)


_STOPPING = (signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR1, signal.SIGUSR2)


def stopping() -> list[signal.Signals]:
    """What asks a process to save and to stop: Ctrl+C, a scheduler's end or its announcement, the end of the terminal.

    Not what whoever started the process had it ignore, as nohup does.
    """
    return [signal.SIGINT, *(number for number in _STOPPING if signal.getsignal(number) != signal.SIG_IGN)]


@contextmanager
def handled(numbers: Iterable[signal.Signals], handler: Callable[[int, object], None]) -> Iterator[None]:
    """Call `handler` with the number and the frame of each of these signals that comes inside the block.

    Who took them before takes them again afterwards. In the main thread only, as Python demands.
    """
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
