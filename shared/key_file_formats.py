"""The formats of key files that are read, only to see where the key stands in them: JSON, TOML, YAML and INI.

Strangers write these files, and no parser of theirs is linear in everything. So what is read is bounded first.
"""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any, Final

LONGEST_LINE: Final = 1_000
"""In characters, but for JSON, which programs write on one line and whose parser minds no length."""
MOST_LINES: Final = 1_000
MOST_BRACKETS: Final = 100
"""How many may be open at once, also where they are but text: more than any document needs."""
MOST_DOTS: Final = 50
"""In one name of TOML: each is a table inside another one."""

_BETWEEN_NAMES: Final = re.compile(r"[=,{}\[\]\n]")
_GAP: Final = re.compile(r"(?<=\S)[^\S\n]+")


def format_of(filename: str | None) -> str | None:
    """The format that a file's name promises, out of those that are read; ``None`` for every other name."""
    suffix = "" if filename is None else filename.rpartition(".")[2].lower()
    return suffix if suffix in _READERS else None


def values_in(suffix: str, content: str) -> Iterable[str]:
    """The texts that a file of this format holds as values; ``size_problem`` has found nothing wrong with its size.

    Raises:
        ValueError: it is not well-formed.
    """
    return _READERS[suffix](content)


def size_problem(suffix: str, content: str) -> str | None:
    """Why a file of this format is too long-winded to be read, or ``None``."""
    lines = content.splitlines()
    if len(lines) > MOST_LINES or (suffix != "json" and any(len(line) > LONGEST_LINE for line in lines)):
        bounds = f"at most {MOST_LINES} lines"
        bounds += "" if suffix == "json" else f" of at most {LONGEST_LINE} characters"
        return f"must have {bounds} to be checked as {suffix.upper()}"
    if suffix != "ini" and _most_open_brackets(content) > MOST_BRACKETS:
        return f"is nested too deeply for {suffix.upper()}"
    if suffix == "toml" and max(name.count(".") for name in _BETWEEN_NAMES.split(content)) > MOST_DOTS:
        return "is nested too deeply for TOML"
    return None


def _most_open_brackets(content: str) -> int:
    steps = ((character in "[{") - (character in "]}") for character in content)
    return max(accumulate(steps, initial=0))


def _read_json(content: str) -> Iterable[str]:
    return _texts(json.loads(content))


def _read_toml(content: str) -> Iterable[str]:
    return _texts(tomllib.loads(content))


def _read_yaml(content: str) -> Iterable[str]:
    import yaml  # a process that meets no such file does not load it

    try:
        # Events only: nothing is constructed, and an alias costs nothing however often it is expanded.
        events = yaml.parse(content, Loader=yaml.SafeLoader)
        return [event.value for event in events if isinstance(event, yaml.ScalarEvent)]
    except yaml.YAMLError as error:
        raise ValueError("is no YAML") from error


def _read_ini(content: str) -> Iterable[str]:
    parser = configparser.ConfigParser(interpolation=None, default_section="\0")
    try:
        # Looking for the end of a name, it reads a gap anew at each of its blanks: one is enough here.
        parser.read_string(_GAP.sub(" ", content))
    except configparser.Error as error:
        raise ValueError("is no INI") from error
    return [value for name in parser.sections() for value in parser[name].values()]


def _texts(document: Any) -> Iterable[str]:
    """The texts among the values, however deep, without recursion: it would pass each through every level above it."""
    open_values = [document]
    while open_values:
        value = open_values.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            open_values.extend(value.values())
        elif isinstance(value, list):
            open_values.extend(value)


_READERS: Final[dict[str, Callable[[str], Iterable[str]]]] = {
    "json": _read_json,
    "toml": _read_toml,
    "yaml": _read_yaml,
    "yml": _read_yaml,
    "ini": _read_ini,
}
"""The endings of names whose files are read."""
