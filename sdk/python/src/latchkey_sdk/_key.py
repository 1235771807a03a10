"""A person's key: what it looks like, and what Latchkey says of one that is good."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

LONGEST_KEY: Final = 79
_DIGITS: Final = {
    digit: value
    for value, digit in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
}
_CRC_LENGTH: Final = 6
_LENGTHS: Final = (6, 16, 43 + _CRC_LENGTH)
"""Of what stands between the underscores, after the prefix: the instance, the key's id, the secret with its checksum."""
_PREFIX_LENGTHS: Final = range(2, 5)


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a live key. It holds no secret: it may be logged, stored and shown."""

    key_id: str
    """The key's public id, 16 letters and digits."""
    user_id: int
    """The person's number at Latchkey."""
    username: str
    """The person's name at Latchkey."""
    external_user: str | None
    """The person's id at the site whose login they use; ``None`` for an account of Latchkey's own."""
    client_id: str | None
    """The program that the key was made for; ``None`` for a key that a person made for themselves."""
    permissions: frozenset[str]
    """What the key may do."""


def looks_like_a_key(text: str) -> bool:
    """Whether a string has the form and the checksum of a person's key; what has not needs no question to Latchkey.

    A key is ``PREFIXu_INSTANCE_ID_SECRETCRC``: two to four small letters, ``u``, then 6, 16 and 43 letters and digits,
    then the CRC32 of all before it as six digits of base 62.
    """
    prefix, *parts = text.split("_", 4)
    if len(parts) != len(_LENGTHS) or not text.isascii():
        return False
    if any(len(part) != length or not part.isalnum() for part, length in zip(parts, _LENGTHS, strict=True)):
        return False
    letters = prefix[:-1]
    if (
        len(letters) not in _PREFIX_LENGTHS
        or not prefix.isalpha()
        or not prefix.islower()
        or prefix[-1] != "u"
    ):
        return False
    checksum = 0
    for digit in text[-_CRC_LENGTH:]:
        checksum = checksum * len(_DIGITS) + _DIGITS[digit]
    return checksum == zlib.crc32(text[:-_CRC_LENGTH].encode("ascii"))
