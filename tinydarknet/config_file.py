"""Options from a YAML file, by their names, as words of a command line; so that one parser checks both."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

FLAG = "--config-path"
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
"""What YAML 1.1 calls true and false, and the reference's 0 and 1."""
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
        fields = yaml.load(path.read_text(encoding="utf-8"), _loader())
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"cannot read the options in {path}: {' '.join(str(error).split())}") from error
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


def _loader() -> Any:
    """YAML's reader of words as they are written, for the options' own parser to make sense of; a key twice is refused."""
    import yaml

    class Words(yaml.BaseLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict:
            keys = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
            for place, key in enumerate(keys):
                if key in keys[:place]:
                    raise yaml.YAMLError(f"the key {key} is there twice{node.start_mark}")
            return super().construct_mapping(node, deep)

    return Words


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
        if f"--{name}".replace("_", "-") == FLAG:
            raise ValueError(
                f"{path} names a file of options itself: put all options into one, {name} is for the command line"
            )
        if name not in known:
            raise ValueError(f"{path} has an unknown option {prefix}{name!s}: known are {', '.join(sorted(known))}")
        option = f"--{prefix}{name}".replace("_", "-")
        default = known[name].default
        if isinstance(value, dict):
            nested = _nested_type(known[name])
            if nested is None:
                raise ValueError(f"{path}: {prefix}{name} takes a value, got a mapping")
            yield from _words(value, nested, path, f"{prefix}{name}.")
        elif isinstance(value, list):
            if not all(isinstance(word, str) for word in value):
                raise ValueError(f"{path}: {prefix}{name} takes a list of values, got {value}")
            yield from (option, *value)
        elif isinstance(default, bool):
            if value.lower() not in _TRUTH:
                raise ValueError(f"{path}: {prefix}{name} must be true or false, got {value!r}")
            yield option if _TRUTH[value.lower()] else f"--no-{prefix}{name}".replace("_", "-")
        elif value.lower() not in ("", "~", "null"):
            yield from (option, value)


def _nested_type(field: dataclasses.Field[Any]) -> type | None:
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return type(default) if dataclasses.is_dataclass(default) else None
