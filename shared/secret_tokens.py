"""Random secrets and their digests: the only form in which a secret leaves the process that minted it."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Mapping

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_UNBIASED = 256 - 256 % 62
_DIGIT_OF_BYTE = bytes(ord(BASE62[byte % 62]) for byte in range(256))
_BIASED = bytes(range(_UNBIASED, 256))

RandomBytes = Callable[[int], bytes]
"""``n`` → ``n`` random bytes; ``os.urandom`` outside of tests."""


def random_base62(length: int, random_bytes: RandomBytes = os.urandom) -> str:
    """``length`` characters of ``[0-9A-Za-z]``, each equally likely (rejection sampling, no modulo bias)."""
    characters = b""
    while len(characters) < length:
        characters += random_bytes(length - len(characters) + 8).translate(_DIGIT_OF_BYTE, _BIASED)
    return characters[:length].decode("ascii")


def digest_of(secret: str) -> str:
    """SHA-256 of a secret's UTF-8 bytes in lower-case hex (64 characters).

    Enough for secrets of 128 bits and more; passwords take argon2id instead.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def session_digest(session_id: str, person: str | None = None) -> str:
    """Under what a session is kept and asked for: the digest of its id, which the browser alone holds.

    A session that began with the header of the site's proxy is kept under the id and the ``person`` whom that named: with
    another header, or none, there is no such session.
    """
    return digest_of(session_id if person is None else f"{session_id} {person}")


def same_digest(left: str, right: str) -> bool:
    """Whether two digests are equal, in constant time."""
    return hmac.compare_digest(left.encode("ascii", "replace"), right.encode("ascii", "replace"))


def keyed_digest(key: bytes, purpose: str, *parts: str) -> str:
    """HMAC-SHA256 in hex over a purpose and length-prefixed parts, so that no two part lists collide."""
    mac = hmac.new(key, purpose.encode(), hashlib.sha256)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        mac.update(len(encoded).to_bytes(8, "big"))
        mac.update(encoded)
    return mac.hexdigest()


def peer_digest(key: bytes, peer: str) -> str:
    """What stands for the address of a peer on the bus and in Redis: there are few enough addresses to try them all.

    ``key`` is a secret of the site that is not in Redis; what is counted under different keys is counted apart.
    """
    return keyed_digest(key, "peer", peer)[:32]


class Peppers:
    """The keyed hash that makes a stolen table useless, in versions so that it can be exchanged."""

    def __init__(self, versions: Mapping[int, bytes]) -> None:
        """``versions`` by number; the one that is named first seals what is new.

        So a new pepper can be made known to every process before the first of them seals anything with it.
        """
        self._versions = dict(versions)
        self.current = next(iter(versions))

    def seal(self, digest: str) -> bytes:
        """HMAC-SHA256(current pepper, SHA-256(key)): the 32 bytes that a row holds. ``ValueError`` for no hex."""
        return hmac.digest(self._versions[self.current], bytes.fromhex(digest), "sha256")

    def matches(self, digest: str, sealed: bytes, version: int) -> bool:
        """Whether ``sealed`` is this digest under the pepper of ``version``, in constant time.

        A version that is no longer configured matches nothing.
        """
        pepper = self._versions.get(version)
        if pepper is None:
            return False
        return hmac.compare_digest(hmac.digest(pepper, bytes.fromhex(digest), "sha256"), sealed)
