"""The file that a new key is put into: a client's text template, filled once and literally, and its safe name."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from shared.key_file_formats import format_of, size_problem, values_in
from shared.plain_text import is_control, is_invisible

PLACEHOLDERS: Final = ("%%API_KEY%%", "%%TACHI_KEY%%")
LARGEST_TEMPLATE: Final = 10_000
"""In bytes of UTF-8."""
LONGEST_FILENAME: Final = 80

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

    Where the file's name ends in .json, .toml, .yaml, .yml or .ini, the file with a key in it must be small enough to
    be read (see ``size_problem``), parse, and hold that key in exactly one value. That may take some milliseconds: it is
    done off the event loop.
    """
    if not template or len(template.encode()) > LARGEST_TEMPLATE:
        return f"must be 1 to {LARGEST_TEMPLATE} bytes of UTF-8"
    if any(is_control(character) and character not in _LINE_CONTROLS for character in template):
        return "must not hold control characters other than tabs and line breaks"
    if len(_PLACEHOLDER.findall(template)) != 1:
        return f"must hold {PLACEHOLDERS[0]} (or {PLACEHOLDERS[1]}) exactly once"
    suffix = format_of(filename)
    return None if suffix is None else _format_problem(suffix, template)


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
    problem = size_problem(suffix, content)
    if problem is not None:
        return problem
    try:
        holding = sum(_SAMPLE_KEY in value for value in values_in(suffix, content))
    except ValueError:
        return f"is no well-formed {suffix.upper()} once a key is in it, as the file name promises"
    if holding != 1:
        return f"must hold the key in exactly one value of the {suffix.upper()}, not in a name or a comment"
    return None
