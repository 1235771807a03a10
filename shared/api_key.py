"""Keys and client credentials: their format, ``<prefix><kind>_<inst>_<kid>_<secret><crc>``, and how HTTP Basic holds them."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import zlib
from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from shared.secret_tokens import BASE62, RandomBytes, digest_of, keyed_digest, random_base62

KID_LENGTH = 16
SECRET_LENGTH = 43
INSTANCE_LENGTH = 6
CRC_LENGTH = 6

USER_KEY = "u"
SERVICE_KEY = "s"
CLIENT_ID = "c"
CLIENT_SECRET = "x"  # noqa: S105 - the kind's letter, not a secret
GENERATIONS = 8
"""How often one key may be rotated: its overlap with a replacement may be followed by another replacement."""

_PAIRS = [first + second for first in BASE62 for second in BASE62]
_SHAPE = re.compile(
    r"(?P<prefix>[a-z]{2,4})(?P<kind>[us])_(?P<inst>[0-9A-Za-z]{6})_(?P<kid>[0-9A-Za-z]{16})_"
    r"(?P<secret>[0-9A-Za-z]{43})(?P<crc>[0-9A-Za-z]{6})",
    re.ASCII,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_STRAY_PERCENT = re.compile(rb"%(?![0-9a-fA-F]{2})")


@dataclass(frozen=True, slots=True)
class MintedKey:
    """A new key: the clear text for one answer, the id and the digest for everybody else."""

    key_id: str
    """16 base62 characters, public."""
    token: str = field(repr=False)
    """The key in clear; never logged, sent or kept."""

    @property
    def digest(self) -> str:
        """SHA-256 of the token in hex: what travels and what key_issuer peppers."""
        return digest_of(self.token)


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """The parts of a string that has the shape and the checksum of a key; nothing is proven by it."""

    prefix: str
    kind: str
    instance: str
    key_id: str


@lru_cache(maxsize=64)
def instance_of(public_url: str) -> str:
    """The six characters that say whose key this is: SHA-256(public URL) mod 62^6 in base62."""
    number = int.from_bytes(hashlib.sha256(public_url.encode()).digest(), "big") % 62**INSTANCE_LENGTH
    return _six_base62(number)


def mint_key(prefix: str, kind: str, public_url: str, random_bytes: RandomBytes = os.urandom) -> MintedKey:
    """Makes a key of ``kind`` (``USER_KEY`` or ``SERVICE_KEY``): 256 bits of randomness and a checksum."""
    drawn = random_base62(KID_LENGTH + SECRET_LENGTH, random_bytes)
    return assemble_key(prefix, kind, public_url, key_id=drawn[:KID_LENGTH], secret=drawn[KID_LENGTH:])


def derive_key(secret: bytes, prefix: str, public_url: str, *parts: str) -> MintedKey:
    """The user's key that these parts give: unguessable without the server's secret, the same every time.

    It makes a retry safe: the key in clear is never kept, and yet the same request can be answered with it again.
    """
    seed = bytes.fromhex(keyed_digest(secret, "derived-key", *parts))
    return mint_key(prefix, USER_KEY, public_url, _stream_of(seed))


def derive_replacements(
    secret: bytes, prefix: str, public_url: str, key_id: str, request: str
) -> tuple[MintedKey, ...]:
    """The keys that may replace a key one after the other; ``request`` is what makes two rotations of it the same."""
    return tuple(
        derive_key(secret, prefix, public_url, "rotation", key_id, request, str(generation))
        for generation in range(GENERATIONS)
    )


def assemble_key(prefix: str, kind: str, public_url: str, *, key_id: str, secret: str) -> MintedKey:
    """Joins the parts of a key and adds the checksum."""
    body = f"{prefix}{kind}_{instance_of(public_url)}_{key_id}_{secret}"
    return MintedKey(key_id, body + checksum(body))


def parse_key(text: str) -> ParsedKey | None:
    """The parts of a key, or ``None`` where shape or checksum is wrong. No I/O: garbage stops here."""
    match = _SHAPE.fullmatch(text)
    if match is None or checksum(text[:-CRC_LENGTH]) != match["crc"]:
        return None
    return ParsedKey(match["prefix"], match["kind"], match["inst"], match["kid"])


def mint_client_id(prefix: str, random_bytes: RandomBytes = os.urandom) -> str:
    """A public client id, ``lkc_`` and 16 base62 characters."""
    return f"{prefix}{CLIENT_ID}_{random_base62(KID_LENGTH, random_bytes)}"


def mint_client_secret(prefix: str) -> str:
    """A client secret: ``lkx_``, 43 base62 characters (256 bit) and the checksum of what precedes it."""
    body = f"{prefix}{CLIENT_SECRET}_{random_base62(SECRET_LENGTH)}"
    return body + checksum(body)


def checksum(text: str) -> str:
    """CRC32 of the text's bytes as six base62 characters, zero padded."""
    return _six_base62(zlib.crc32(text.encode()))


def masked(prefix: str, key_id: str) -> str:
    """How lists show a key: ``lku_…`` and the first four characters of its id, none of its secret."""
    return f"{prefix}{USER_KEY}_…{key_id[:4]}"


def basic_credentials(header: str) -> tuple[str, str]:
    """The client id and secret of HTTP Basic: base64 of two form-encoded UTF-8 halves (RFC 6749 §2.3.1).

    Raises:
        ValueError: it is anything else; the message says what, and quotes nothing.
    """
    user, colon, password = _basic_pair(header).partition(b":")
    if not colon or not user:
        raise ValueError("no client id and colon in the base64")
    return _form_decoded(user), _form_decoded(password)


def basic_name_and_key(header: str) -> tuple[frozenset[str], str]:
    """The name and the key of HTTP Basic (RFC 7617), for a password that is a key of ours: it holds no colon.

    The name has two readings, as it stands and form-encoded (RFC 6749 §2.3.1), since clients send either; one that is no
    UTF-8 has none.

    Raises:
        ValueError: it is anything else, as no key can stand there.
    """
    name, _, key = _basic_pair(header).rpartition(b":")
    readings = set()
    for raw in (name, unquote_to_bytes(name.replace(b"+", b" "))):
        with suppress(UnicodeDecodeError):
            readings.add(raw.decode())
    return frozenset(readings), key.decode("ascii")


def _stream_of(seed: bytes) -> RandomBytes:
    """An endless pseudo-random stream (HMAC-SHA256 in counter mode), read piece by piece."""
    buffer, counter = b"", 0

    def take(count: int) -> bytes:
        nonlocal buffer, counter
        while len(buffer) < count:
            buffer += hmac.digest(seed, counter.to_bytes(8, "big"), "sha256")
            counter += 1
        taken, buffer = buffer[:count], buffer[count:]
        return taken

    return take


def _six_base62(number: int) -> str:
    rest, last = divmod(number, len(_PAIRS))
    first, middle = divmod(rest, len(_PAIRS))
    return _PAIRS[first] + _PAIRS[middle] + _PAIRS[last]


def _basic_pair(header: str) -> bytes:
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        raise ValueError("another scheme than Basic")
    try:
        return b64decode(encoded.strip(" ").encode("ascii"), validate=True)
    except ValueError:
        raise ValueError("no base64") from None


def _form_decoded(raw: bytes) -> str:
    if _STRAY_PERCENT.search(raw):
        raise ValueError("a stray percent sign")
    try:
        text = unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise ValueError("no UTF-8") from None
    if _CONTROL.search(text):
        raise ValueError("a control character")
    return text
