"""Loops compiled with numba: without the interpreter lock, and kept beside their file for the next process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core.dispatcher import Dispatcher
from numba.core.typing.templates import Signature
from numba.extending import intrinsic


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call, some seconds; later processes load the result from beside the function's file.

    It is compiled anew when that file has changed, or another whose compiled functions it calls.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        dispatcher = njit(cache=True, **options)(function)
    except RuntimeError:  # numba: neither this folder nor the user's cache folder can be written
        return njit(**options)(function)
    # numba looks at the function's own file alone, and would run what it calls as it was
    called = {
        value.py_func.__code__.co_filename for value in function.__globals__.values() if isinstance(value, Dispatcher)
    }
    stamps = [_stamp(Path(name)) for name in sorted({*called, __file__})]
    dispatcher._cache._cache_file._source_stamp = (dispatcher._cache._cache_file._source_stamp, *stamps)
    return dispatcher


def _stamp(path: Path) -> tuple[float, int]:
    found = path.stat()
    return found.st_mtime, found.st_size


def _write_pointer(_context: Any, _address: Any) -> tuple[Signature, Callable[..., Any]]:
    """An address in memory, uintp, as a pointer to uint8."""
    signature = types.CPointer(types.uint8)(types.uintp)

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return signature, generate


def _write_load(_context: Any, _address: Any) -> tuple[Signature, Callable[..., Any]]:
    """The eight bytes at an address, uintp, as a big-endian uint64."""

    def generate(context: Any, builder: Any, _signature: Signature, arguments: Any) -> Any:
        word = context.get_value_type(types.uint64)
        return builder.bswap(builder.load(builder.inttoptr(arguments[0], word.as_pointer()), align=1))

    return types.uint64(types.uintp), generate


def _write_call(_context: Any, _function: Any, _first: Any, _second: Any) -> tuple[Signature, Callable[..., Any]]:
    """What the C function `int (*)(void *, void *)` at an address, uintp, returns for two addresses, uintp."""

    def generate(context: Any, builder: Any, _signature: Signature, arguments: Any) -> Any:
        address, word = context.get_value_type(types.uintp), context.get_value_type(types.int32)
        function = ir.FunctionType(word, [address, address])
        return builder.call(builder.inttoptr(arguments[0], function.as_pointer()), arguments[1:])

    return types.int32(types.uintp, types.uintp, types.uintp), generate


call: Any = intrinsic(_write_call)
pointer: Any = intrinsic(_write_pointer)
load_big_endian: Any = intrinsic(_write_load)
