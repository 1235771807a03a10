"""What a person may call a key: what they see is all there is to it."""

from __future__ import annotations

from typing import Final

from shared.plain_text import is_visible

LONGEST_NAME: Final = 80
WRONG_NAME: Final = f"A name has 1 to {LONGEST_NAME} visible characters."


def is_key_name(name: str) -> bool:
    """Whether nothing in the name is hidden, turns its direction or breaks its line, and it fits into a list."""
    return len(name) <= LONGEST_NAME and is_visible(name)
