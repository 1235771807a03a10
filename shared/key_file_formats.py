"""The formats that a key file may promise by its name: each parsed only to see where the key stands in it."""

from __future__ import annotations

import configparser
import json
import tomllib
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any, Final

import yaml

_DEEPEST_YAML: Final = 100


def format_problem(suffix: str, content: str, key: str) -> str | None:
    """Why a file of this ending, with ``key`` in it, is not what its name promises, or ``None``."""
    format_name, values_of = suffix.upper(), PARSERS[suffix]
    try:
        holding = sum(key in value for value in values_of(content))
    except RecursionError:
        return f"is nested too deeply for {format_name}"
    except (ValueError, configparser.Error, yaml.YAMLError):
        return f"is no well-formed {format_name} once a key is in it, as the file name promises"
    if holding != 1:
        return f"must hold the key in exactly one value of the {format_name}, not in a name or a comment"
    return None


def _json_values(content: str) -> Iterable[str]:
    return _texts(json.loads(content))


def _toml_values(content: str) -> Iterable[str]:
    return _texts(tomllib.loads(content))


def _yaml_values(content: str) -> Iterable[str]:
    # The parser's time grows with the square of the open brackets: ten thousand would take it seconds.
    if _most_open_brackets(content) > _DEEPEST_YAML:
        raise RecursionError
    # Events only: nothing is constructed, and an alias costs nothing however often it is expanded.
    events = yaml.parse(content, Loader=yaml.SafeLoader)
    return [event.value for event in events if isinstance(event, yaml.ScalarEvent)]


def _most_open_brackets(content: str) -> int:
    """How many were open at once, also where they are but text: more than any document needs."""
    steps = ((character in "[{") - (character in "]}") for character in content)
    return max(accumulate(steps, initial=0))


def _ini_values(content: str) -> Iterable[str]:
    parser = configparser.ConfigParser(interpolation=None, default_section="\0")
    parser.read_string(content)
    return [value for name in parser.sections() for value in parser[name].values()]


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


PARSERS: Final[dict[str, Callable[[str], Iterable[str]]]] = {
    "json": _json_values,
    "toml": _toml_values,
    "yaml": _yaml_values,
    "yml": _yaml_values,
    "ini": _ini_values,
}
