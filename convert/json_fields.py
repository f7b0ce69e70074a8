"""JSON values as frozen dataclasses: with every field that is annotated, none besides, each exactly of its type."""

from __future__ import annotations

import dataclasses
import reprlib
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints


def from_json(wanted: Any, value: object, where: str = "") -> Any:
    """An instance of `wanted` from what `json.loads` returned; 1 is no float, True no int, NaN nothing that a class here has.

    Args:
        wanted: a dataclass, str, int, Literal[...], tuple[X, ...] (a list in JSON) or dict[str, X].
        value: of JSON.
        where: name of the value for the messages.

    Raises:
        ValueError: the value is of another type, or `wanted` refuses it.
    """
    origin, arguments = get_origin(wanted), get_args(wanted)
    if dataclasses.is_dataclass(wanted):
        return _instance(wanted, _of_type(dict, value, where), where)
    if origin is tuple:
        elements = enumerate(_of_type(list, value, where))
        return tuple(from_json(arguments[0], element, f"{where}[{number}]") for number, element in elements)
    if origin is dict:
        entries = _of_type(dict, value, where).items()
        return {name: from_json(arguments[1], element, f"{where}.{name}") for name, element in entries}
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{where} must be one of {arguments}, got {reprlib.repr(value)}")
        return value
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
