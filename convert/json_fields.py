"""JSON files, and JSON values as frozen dataclasses: with every field that is annotated, none besides, each of its type."""

from __future__ import annotations

import dataclasses
import json
import os
import reprlib
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from convert.durable_files import write_bytes


def to_json(value: Any) -> str:
    """A dataclass or JSON-ready value as indented JSON with a newline at the end; paths become strings."""
    fields = dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
    return json.dumps(fields, indent=1, ensure_ascii=False, default=os.fspath) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write what `to_json` makes of it, whole or not at all."""
    write_bytes(path, to_json(value).encode())


def parse_object(text: str | bytes) -> dict[str, Any]:
    """The fields of a JSON object.

    Raises:
        ValueError: it is no JSON (NaN and Infinity are none), too deeply nested, or no object.
    """
    try:
        fields = json.loads(text, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("too deeply nested") from error
    if not isinstance(fields, dict):
        raise ValueError(f"it must be an object, got {reprlib.repr(fields)}")
    return fields


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def from_json(wanted: Any, value: object, where: str = "") -> Any:
    """An instance of `wanted` from what `json.loads` returned; True is no int, 1.0 neither, but 1 is a float.

    Args:
        wanted: a dataclass, str, int, float, Any, Literal[...], X | None, tuple[X, ...] or tuple[X, Y] (a list in JSON)
            or dict[str, X].
        value: of JSON.
        where: name of the value for the messages.

    Raises:
        ValueError: the value is of another type, or `wanted` refuses it.
    """
    origin, arguments = get_origin(wanted), get_args(wanted)
    if wanted is Any or (value is None and NoneType in arguments):
        return value
    if dataclasses.is_dataclass(wanted):
        return _instance(wanted, _of_type(dict, value, where), where)
    if origin is tuple:
        elements = _of_type(list, value, where)
        kinds = [arguments[0]] * len(elements) if arguments[-1] is ... else arguments
        if len(kinds) != len(elements):
            raise ValueError(f"{where or 'it'} must have {len(kinds)} elements, got {reprlib.repr(value)}")
        pairs = enumerate(zip(kinds, elements, strict=True))
        return tuple(from_json(kind, element, f"{where}[{number}]") for number, (kind, element) in pairs)
    if origin is dict:
        entries = _of_type(dict, value, where).items()
        return {name: from_json(arguments[1], element, f"{where}.{name}") for name, element in entries}
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{where} must be one of {arguments}, got {reprlib.repr(value)}")
        return value
    if origin in (Union, UnionType):
        kinds = [kind for kind in arguments if kind is not NoneType]
        return from_json(next((kind for kind in kinds if kind is type(value)), kinds[0]), value, where)
    if wanted is float and type(value) is int:
        return float(value)
    return _of_type(wanted, value, where)


def _instance(wanted: Any, fields: dict[str, object], where: str) -> Any:
    types = _field_types(wanted)
    prefix = f"{where}." if where else ""
    for name in types.keys() - fields.keys():
        raise ValueError(f"{prefix}{name} is missing")
    for name in fields.keys() - types.keys():
        raise ValueError(f"{prefix}{reprlib.repr(name)} is no field of it")
    return wanted(**{name: from_json(types[name], element, prefix + name) for name, element in fields.items()})


@cache
def _field_types(wanted: Any) -> dict[str, Any]:
    return get_type_hints(wanted)


def _of_type(wanted: type, value: object, where: str) -> Any:
    if type(value) is not wanted:
        raise ValueError(f"{where or 'it'} must be of type {wanted.__name__}, got {reprlib.repr(value)}")
    return value
