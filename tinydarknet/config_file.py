"""Options from a YAML file, by their names, as words of a command line; so that one parser checks both."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

FLAG = "--config-path"
RECIPE_PREFIX = "recipe:"
"""Before the name of a file in `recipes/`."""


def expand(arguments: Sequence[str], options: type) -> list[str]:
    """Put the options of the file named by --config-path before those of the command line, which win.

    Args:
        arguments: of the command line.
        options: the dataclass whose fields may be set.

    Raises:
        ValueError: the file or the recipe is missing, no mapping in YAML, or has an unknown key.
    """
    path = _path_in(arguments)
    if path is None:
        return list(arguments)
    import yaml

    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"cannot read the options in {path}: {error}") from error
    if not isinstance(fields, dict):
        raise ValueError(f"{path} must hold 'name: value' lines, got {type(fields).__name__}")
    return [*_words(fields, options, path), *arguments]


def _path_in(arguments: Sequence[str]) -> Path | None:
    for index, word in enumerate(arguments):
        name, _, value = word.replace("_", "-", 2).partition("=")
        if name == FLAG:
            value = word.partition("=")[2]
            if value or index + 1 < len(arguments):
                return _recipe_path(value or arguments[index + 1])
    return None


def _recipe_path(value: str) -> Path:
    """The file that is meant: `value` itself, or a recipe's."""
    if not value.startswith(RECIPE_PREFIX):
        return Path(value)
    recipes = {path.stem: path for path in (Path(__file__).parent / "recipes").glob("*.yaml")}
    name = value.removeprefix(RECIPE_PREFIX)
    if name not in recipes:
        raise ValueError(f"there is no recipe {name!r}: known are {', '.join(sorted(recipes))}")
    return recipes[name]


def _words(fields: dict[str, Any], options: type, path: Path, prefix: str = "") -> Iterator[str]:
    known = {field.name: field for field in dataclasses.fields(options)}
    for name, value in fields.items():
        if name not in known:
            raise ValueError(f"{path} has an unknown option {prefix}{name!s}: known are {', '.join(sorted(known))}")
        option = f"--{prefix}{name}".replace("_", "-")
        default = known[name].default
        if isinstance(value, dict):
            nested = _nested_type(known[name])
            if nested is None:
                raise ValueError(f"{path}: {prefix}{name} takes a value, got a mapping")
            yield from _words(value, nested, path, f"{prefix}{name}.")
        elif isinstance(default, bool):
            if value not in (0, 1):  # True and False too; the reference writes 0 and 1
                raise ValueError(f"{path}: {prefix}{name} must be true or false, got {value!r}")
            yield option if value else f"--no-{prefix}{name}".replace("_", "-")
        elif isinstance(value, list):
            yield from (option, *map(str, value))
        elif value is not None:
            yield from (option, str(value))


def _nested_type(field: dataclasses.Field[Any]) -> type | None:
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return type(default) if dataclasses.is_dataclass(default) else None
