"""A page that says one thing: something was decided, cannot be decided twice, or needs another sign-in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MessageView:
    """A title, a few sentences, and one way on."""

    title: str
    sentences: tuple[str, ...]
    action: str
    href: str
    good: bool = False
