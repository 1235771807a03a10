"""The user codes of the device flow (RFC 8628 §6.1): how one is read and shown, and what stands for it outside of a process."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from shared.secret_tokens import keyed_digest

ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""Twenty consonants: no words by accident, nothing that looks like a digit (RFC 8628 §6.1)."""
LENGTH: Final = 8

_TYPED: Final = re.compile(f"[{ALPHABET}]{{{LENGTH}}}")
# What people put between the halves, or a keyboard adds; all kinds of dashes among it.
_SEPARATORS: Final = re.compile(r"[\s\-_.‐-―−]+")  # noqa: RUF001 - dashes on purpose


def normalise_user_code(typed: str) -> str | None:
    """What a person typed as the code that was minted, or ``None`` where it cannot be one.

    An input method may give every letter and dash in its full width: NFKC makes them plain.
    """
    bare = _SEPARATORS.sub("", unicodedata.normalize("NFKC", typed[:64])).upper()
    return bare if _TYPED.fullmatch(bare) else None


def format_user_code(code: str) -> str:
    """As it is shown: ``XXXX-XXXX``."""
    return f"{code[: LENGTH // 2]}-{code[LENGTH // 2 :]}"


def user_code_digests(secrets: Sequence[bytes], code: str) -> tuple[str, ...]:
    """What stands for a normalised code on the bus and in Redis: 64 hex digits under each of the site's secrets.

    A plain digest of 34 bits could be reversed by trying all of them; the secrets are not in Redis. While a secret is
    exchanged, processes that know them in another order find the same code.
    """
    return tuple(keyed_digest(secret, "user-code", code) for secret in secrets)
