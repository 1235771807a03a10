"""The file that a new key is put into: a client's text template, filled once and literally, and its safe name."""

from __future__ import annotations

import configparser
import json
import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any, Final

from shared.plain_text import is_control, is_invisible

PLACEHOLDERS: Final = ("%%API_KEY%%", "%%TACHI_KEY%%")
LARGEST_TEMPLATE: Final = 10_000
"""In bytes of UTF-8."""
LONGEST_FILENAME: Final = 80
_DEEPEST_YAML: Final = 100

# Looks ahead, so that two which share characters (%%API_KEY%%API_KEY%%) count as two.
_PLACEHOLDER: Final = re.compile("(?=(" + "|".join(map(re.escape, PLACEHOLDERS)) + "))")
_SAMPLE_KEY: Final = "lku_000000_" + "0" * 16 + "_" + "0" * 49
_UNSAFE_ASCII: Final = re.compile(r"[^A-Za-z0-9._-]+")
_PATH_CHARACTERS: Final = re.compile(r'[/\\:*?"<>|]')
_DEVICE: Final = re.compile(r"(?:CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(?:\..*)?", re.IGNORECASE | re.DOTALL)
_LINE_CONTROLS: Final = "\t\n\r"


def render_key_file(
    template: str | None, filename: str | None, client_name: str, token: str
) -> tuple[str, str]:
    """The file's name and content. The placeholder is replaced once, by position: nothing is ever expanded twice.

    Without a template the bare key is the content; without a filename the client's name makes one.
    """
    name = filename or f"{safe_ascii(client_name)}.txt"
    if template is None:
        return name, token
    match = _PLACEHOLDER.search(template)
    if match is None:
        return name, template
    return name, template[: match.start(1)] + token + template[match.end(1) :]


def template_problem(template: str, filename: str | None) -> str | None:
    """Why this cannot be a client's template, or ``None``.

    Where the file's name ends in .json, .toml, .yaml, .yml or .ini, the file with a key in it must parse and hold
    that key in exactly one value.
    """
    if not template or len(template.encode()) > LARGEST_TEMPLATE:
        return f"must be 1 to {LARGEST_TEMPLATE} bytes of UTF-8"
    if any(is_control(character) and character not in _LINE_CONTROLS for character in template):
        return "must not hold control characters other than tabs and line breaks"
    if len(_PLACEHOLDER.findall(template)) != 1:
        return f"must hold {PLACEHOLDERS[0]} (or {PLACEHOLDERS[1]}) exactly once"
    suffix = "" if filename is None else filename.rpartition(".")[2].lower()
    return _format_problem(suffix, template) if suffix in _PARSERS else None


def filename_problem(filename: str) -> str | None:
    """Why this cannot be the name of a client's key file, or ``None``."""
    if not 0 < len(filename) <= LONGEST_FILENAME:
        return f"must be 1 to {LONGEST_FILENAME} characters long"
    if any(is_control(character) or is_invisible(character) for character in filename):
        return "must not hold control or invisible characters"
    if _PATH_CHARACTERS.search(filename):
        return 'must be a bare file name, without / \\ : * ? " < > |'
    if not filename.strip(". ") or filename != filename.strip(" ") or filename.endswith("."):
        return "must not begin with a space, end in a space or dot, or be all dots"
    if _DEVICE.fullmatch(filename):
        return "is reserved on Windows"
    return None


def safe_ascii(text: str) -> str:
    """``text`` in ``[A-Za-z0-9._-]``, never empty, never all dots."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return _UNSAFE_ASCII.sub("_", plain).strip("_") if plain.strip("._ ") else "key"


def _format_problem(suffix: str, template: str) -> str | None:
    """Why a file of this ending, with a key in it, is not what its name promises, or ``None``."""
    _, content = render_key_file(template, None, "", _SAMPLE_KEY)
    try:
        holding = sum(_SAMPLE_KEY in value for value in _PARSERS[suffix](content))
    except RecursionError:
        return f"is nested too deeply for {suffix.upper()}"
    except (ValueError, configparser.Error):
        return f"is no well-formed {suffix.upper()} once a key is in it, as the file name promises"
    if holding != 1:
        return f"must hold the key in exactly one value of the {suffix.upper()}, not in a name or a comment"
    return None


def _yaml_values(content: str) -> Iterable[str]:
    # The parser's time grows with the square of the open brackets: ten thousand would take it seconds.
    if _most_open_brackets(content) > _DEEPEST_YAML:
        raise RecursionError
    import yaml  # a process that meets no such file does not load it

    try:
        # Events only: nothing is constructed, and an alias costs nothing however often it is expanded.
        events = yaml.parse(content, Loader=yaml.SafeLoader)
        return [event.value for event in events if isinstance(event, yaml.ScalarEvent)]
    except yaml.YAMLError as error:
        raise ValueError("is no YAML") from error


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


_PARSERS: Final[dict[str, Callable[[str], Iterable[str]]]] = {
    "json": lambda content: _texts(json.loads(content)),
    "toml": lambda content: _texts(tomllib.loads(content)),
    "yaml": _yaml_values,
    "yml": _yaml_values,
    "ini": _ini_values,
}
"""The endings of names whose files are parsed, only to see where the key stands in them."""
