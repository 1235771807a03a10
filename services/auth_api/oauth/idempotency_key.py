"""The ``Idempotency-Key`` header: its syntax, bare or quoted (draft-ietf-httpapi-idempotency-key-header §2.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from services.auth_api.oauth.errors import invalid_request

HEADER: Final = "Idempotency-Key"

_BARE: Final = re.compile(r"[\x21\x23-\x7e][\x21-\x7e]{0,254}")
_QUOTED: Final = re.compile(r'"([\x21\x23-\x7e]{1,255})"')


def read_idempotency_key(headers: Sequence[str]) -> str | None:
    """The key, or ``None`` where no header was sent. ``"abc"`` and ``abc`` are the same key.

    Raises:
        OAuthError: ``invalid_request``.
    """
    if not headers:
        return None
    text = headers[0].strip(" \t")
    quoted = _QUOTED.fullmatch(text)
    if len(headers) > 1 or (quoted is None and not _BARE.fullmatch(text)):
        raise invalid_request(f"{HEADER} must be sent once, with 1 to 255 visible ASCII characters.")
    return quoted[1] if quoted else text
