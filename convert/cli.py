"""Command lines from dataclasses: parsing by tyro, errors printed for people, exit statuses in one place.

A command is a frozen dataclass whose fields are its options (the docstring under each field is its
help text, `__post_init__` checks the values by raising ValueError) and a function that takes it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from convert.errors import UserError

EXIT_OK = 0
EXIT_USER_ERROR = 1
EXIT_BAD_OPTIONS = 2  # argparse's own status, which tyro keeps
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_OUTPUT_CLOSED = 128 + signal.SIGPIPE

_NO_MINDSPORE = (
    "error: this command needs MindSpore, which is not installed here (datasets can be read without it): "
    "pip install 'tinydarknet[mindspore]'"
)


@dataclass(frozen=True)
class Command:
    """One command: its options as a dataclass type, and the function that carries them out."""

    options: type
    """A frozen dataclass; its docstring is the command's help."""
    action: Callable[[Any], int | None]
    """Called with an instance of `options`; returns the exit status, None for 0."""


def main_single(prog: str, command: Command, argv: Sequence[str] | None = None) -> NoReturn:
    """Parse `argv` (the process's own by default) for one command, run it, exit with its status."""
    import tyro

    _fill_closed_streams()
    options = tyro.cli(command.options, prog=prog, args=argv)
    sys.exit(_run(command.action, options))


def main_subcommands(
    prog: str, description: str, commands: Mapping[str, Command], argv: Sequence[str] | None = None
) -> NoReturn:
    """Parse `argv` for the named sub-command, run it, exit with its status."""
    import tyro

    _fill_closed_streams()
    by_type = {command.options: command.action for command in commands.values()}
    options = tyro.extras.subcommand_cli_from_dict(
        {name: command.options for name, command in commands.items()},
        prog=prog,
        description=description,
        args=argv,
    )
    sys.exit(_run(by_type[type(options)], options))


def _fill_closed_streams() -> None:
    """Give what was closed (`>&-`) of the three standard streams to the null device, for this process and its workers.

    Else the next file that is opened takes the stream's number, and with it what libraries print there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode)  # noqa: SIM115
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def _run(action: Callable[[Any], int | None], options: object) -> int:
    try:
        status = _carried_out(action, options)
        sys.stdout.flush()
    except BrokenPipeError:
        if not _output_closed():
            raise
        _drop_output()
        return EXIT_OUTPUT_CLOSED
    except OSError:
        if (why := _output_fault()) is None:
            raise
        _drop_output()
        print(f"error: cannot write the output ({why}): put it right and run the command again", file=sys.stderr)
        return EXIT_USER_ERROR
    return status


def _carried_out(action: Callable[[Any], int | None], options: object) -> int:
    try:
        return action(options) or EXIT_OK
    except UserError as error:
        print(f"error: {error}{_options_to_see(error, options)}", file=sys.stderr)
        return EXIT_USER_ERROR
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "mindspore":
            raise
        print(_NO_MINDSPORE, file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _options_to_see(error: UserError, options: object) -> str:
    """The command's own options among the parameters that would help."""
    names = [f"--{name.replace('_', '-')}" for name in error.parameters if hasattr(options, name)]
    return f" (see {', '.join(names)})" if names else ""


def _output_closed() -> bool:
    """Whether the reader of our output has gone, as `head` does."""
    output = select.poll()
    output.register(sys.stdout, 0)  # asks for nothing: the closed end of a pipe is told in any case
    return any(event & select.POLLERR for _, event in output.poll(0))


def _output_fault() -> str | None:
    """Why our output cannot be written, as on a full disk; None where it can be."""
    try:
        print(flush=True)
    except OSError as error:
        return error.strerror
    return None


def _drop_output() -> None:
    """Let what is still buffered go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
