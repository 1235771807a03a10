"""The envelope in which the seed system's integrators read an answer: whether it went well, why, and the answer itself."""

from __future__ import annotations

from collections.abc import Mapping


def succeeded(description: str, body: Mapping[str, object]) -> dict[str, object]:
    """The members of an answer that brings ``body``; ``description`` is a sentence for people."""
    return {"success": True, "description": description, "body": body}


def failed(description: str) -> dict[str, object]:
    """The members of an error; ``description`` says what was wrong."""
    return {"success": False, "description": description}
