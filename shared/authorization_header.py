"""The ``Authorization`` header, as clients (RFC 6749 §2.3.1) send it. No framework."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Final
from urllib.parse import unquote_to_bytes

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_STRAY_PERCENT: Final = re.compile(rb"%(?![0-9a-fA-F]{2})")


def scheme_of(header: str) -> str:
    """The scheme in lower case; schemes ignore case (RFC 9110 §11.1)."""
    return header.strip().partition(" ")[0].lower()


def basic_credentials(header: str) -> tuple[str, str]:
    """The client id and secret of HTTP Basic: base64 of two form-encoded UTF-8 halves.

    Raises:
        ValueError: it is anything else; the message says what, and quotes nothing.
    """
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        raise ValueError("another scheme than Basic")
    try:
        user, colon, password = b64decode(encoded.strip(" ").encode("ascii"), validate=True).partition(b":")
    except ValueError:
        raise ValueError("no base64") from None
    if not colon or not user:
        raise ValueError("no client id and colon in the base64")
    return _half(user), _half(password)


def _half(raw: bytes) -> str:
    if _STRAY_PERCENT.search(raw):
        raise ValueError("a stray percent sign")
    try:
        text = unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise ValueError("no UTF-8") from None
    if _CONTROL.search(text):
        raise ValueError("a control character")
    return text
