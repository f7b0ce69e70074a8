"""Command lines from dataclasses: parsing by tyro, errors printed for people, exit statuses in one place.

A command is a frozen dataclass whose fields are its options (the docstring under each field is its
help text, `__post_init__` checks the values by raising ValueError) and a function that takes it.
"""

from __future__ import annotations

import errno
import io
import math
import os
import re
import select
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, NoReturn

from convert.errors import UserError

Parsed = tuple[Callable[[Any], int | None], object]
"""What carries a command out, and its options."""

EXIT_OK = 0
EXIT_USER_ERROR = 1
EXIT_BAD_OPTIONS = 2  # argparse's own status, which tyro keeps
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_OUTPUT_CLOSED = 128 + signal.SIGPIPE

_STEERING = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of writing; but tab, line feed and carriage return."""
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


def main_single(
    prog: str, command: Command, argv: Sequence[str] | None = None, expand: Callable[[], Sequence[str]] | None = None
) -> NoReturn:
    """Parse `argv` (the process's own by default, or what `expand` makes of it) for one command, run it, exit with its status."""

    def parse() -> Parsed:
        import tyro

        try:
            words = argv if expand is None else expand()
        except ValueError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(EXIT_BAD_OPTIONS)
        return command.action, _finite(tyro.cli(command.options, prog=prog, args=words))

    sys.exit(_run(parse))


def main_subcommands(
    prog: str, description: str, commands: Mapping[str, Command], argv: Sequence[str] | None = None
) -> NoReturn:
    """Parse `argv` for the named sub-command, run it, exit with its status."""

    def parse() -> Parsed:
        import tyro

        by_type = {command.options: command.action for command in commands.values()}
        options = tyro.extras.subcommand_cli_from_dict(
            {name: command.options for name, command in commands.items()},
            prog=prog,
            description=description,
            args=argv,
        )
        return by_type[type(options)], _finite(options)

    sys.exit(_run(parse))


def _finite(options: Any, prefix: str = "") -> Any:
    """The same options; ends the process if a number among them is infinite or none at all."""
    for field in fields(options):
        value = getattr(options, field.name)
        if is_dataclass(value):
            _finite(value, f"{prefix}{field.name}.")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                print(f"error: {prefix}{field.name} must be a finite number, got {number}", file=sys.stderr)
                sys.exit(EXIT_BAD_OPTIONS)
    return options


def _fill_closed_streams() -> None:
    """Give what was closed (`>&-`) of the three standard streams to the null device, for this process and its workers.

    Else the next file that is opened takes the stream's number, and with it what libraries print there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode)  # noqa: SIM115
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


class _Printable(io.TextIOWrapper):
    """A stream that escapes what would steer a terminal, whoever's name it comes from, and what it cannot encode."""

    replaced: io.TextIOWrapper

    def write(self, text: str, /) -> int:
        super().write(_STEERING.sub(lambda match: match[0].encode("unicode_escape").decode(), text))
        return len(text)


def _escape_output() -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is io.TextIOWrapper:  # else somebody's who captures it
            stream.flush()
            wrapped = _Printable(
                stream.buffer,
                stream.encoding,
                "backslashreplace",
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            )
            wrapped.replaced = stream  # which would close their common buffer when it goes
            setattr(sys, name, wrapped)


def _run(parse: Callable[[], Parsed]) -> int:
    if signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, signal.default_int_handler):
        signal.signal(signal.SIGINT, signal.default_int_handler)  # guard_start has done its part
    _fill_closed_streams()
    try:
        status = _carried_out(parse)
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


def _carried_out(parse: Callable[[], Parsed]) -> int:
    options: object = None
    try:
        action, options = parse()
        _escape_output()
        if not _has_working_folder():
            raise UserError("the working folder does not exist any more: change into one that does (cd)")
        return action(options) or EXIT_OK
    except SystemExit as ended:  # --help, or options that cannot be
        if isinstance(ended.code, str):
            raise
        return ended.code or EXIT_OK
    except UserError as error:
        print(f"error: {error}{_options_to_see(error, options)}", file=sys.stderr)
        return EXIT_USER_ERROR
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "mindspore":
            raise
        print(_NO_MINDSPORE, file=sys.stderr)
        return EXIT_USER_ERROR
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        print("error: too many files are open at once here: raise the limit (ulimit -n 1024)", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _has_working_folder() -> bool:
    try:
        return bool(Path.cwd())
    except OSError:
        return False


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
