"""A page that says one thing: what was decided, or what went wrong and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class MessageView:
    """A title, a few sentences, and one way on."""

    title: str
    sentences: tuple[str, ...]
    action: str
    href: str
    tone: Literal["", "good", "warn"] = ""
    request_id: str = ""
    """Under which the logs know the request; with errors."""
