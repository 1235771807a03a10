"""The ``Authorization`` header, as clients (RFC 6749 §2.3.1) send it. No framework."""

from __future__ import annotations

import re
from base64 import b64decode
from contextlib import suppress
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
    user, colon, password = _decoded(header).partition(b":")
    if not colon or not user:
        raise ValueError("no client id and colon in the base64")
    return _half(user), _half(password)


def basic_name_and_key(header: str) -> tuple[frozenset[str], str]:
    """The name and the key of HTTP Basic (RFC 7617), for a password that is a key of ours: it holds no colon.

    The name has two readings, as it stands and form-encoded (RFC 6749 §2.3.1), since clients send either; one that is no
    UTF-8 has none.

    Raises:
        ValueError: it is anything else, as no key can stand there.
    """
    name, _, key = _decoded(header).rpartition(b":")
    readings = set()
    for raw in (name, unquote_to_bytes(name.replace(b"+", b" "))):
        with suppress(UnicodeDecodeError):
            readings.add(raw.decode())
    return frozenset(readings), key.decode("ascii")


def _decoded(header: str) -> bytes:
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        raise ValueError("another scheme than Basic")
    try:
        return b64decode(encoded.strip(" ").encode("ascii"), validate=True)
    except ValueError:
        raise ValueError("no base64") from None


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
