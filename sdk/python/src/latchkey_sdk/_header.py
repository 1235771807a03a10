"""The ``Authorization`` header of a request (RFC 6750 §2.1), read as Latchkey's own check reads it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from latchkey_sdk._refused import not_live

_SCHEME: Final = "bearer "


def bearer_key(values: Iterable[str]) -> str | None:
    """The key that a request carries.

    Args:
        values: of every ``Authorization`` header of the request; an empty one counts as absent.

    Returns:
        ``None`` where there is none: no header, another scheme, nothing after it.

    Raises:
        Refused: 401, more than one was sent, and nobody can say which is meant.
    """
    sent = [value.strip(" \t") for value in values]
    sent = [value for value in sent if value]
    if len(sent) > 1:
        raise not_live()
    if not sent or sent[0][: len(_SCHEME)].lower() != _SCHEME:
        return None
    return sent[0][len(_SCHEME) :].strip(" ") or None
