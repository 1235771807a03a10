"""Text of strangers and people in which a reader sees everything that is there, in the order in which it is there."""

from __future__ import annotations

import unicodedata
from typing import Final

_JOINERS: Final = frozenset("\u200c\u200d")


def is_plain(text: str) -> bool:
    """Whether nothing in the text hides, turns its direction or breaks its line."""
    return not any(
        is_control(character) or (is_invisible(character) and not joins(text, index))
        for index, character in enumerate(text)
    )


def is_visible(text: str) -> bool:
    """Whether there is something to read in the text, and nothing that it hides."""
    return bool(text.strip()) and is_plain(text)


def is_control(character: str) -> bool:
    """Whether this is a C0 or C1 control, or a line or paragraph separator."""
    return unicodedata.category(character) in ("Cc", "Zl", "Zp")


def is_invisible(character: str) -> bool:
    """Whether this shows nothing or turns the direction of what follows (zero-width, bidirectional, private use)."""
    return unicodedata.category(character) in ("Cf", "Cs", "Co")


def joins(text: str, index: int) -> bool:
    """Whether a joiner stands where some scripts and emoji need one; between Latin letters it only deceives."""
    around = text[index - 1 : index] + text[index + 1 : index + 2]
    return text[index] in _JOINERS and len(around) == len("ab") and not any(map(str.isascii, around))
