"""Peppers: the keyed hash that makes a stolen table useless, in versions so that it can be exchanged."""

from __future__ import annotations

import hmac
from collections.abc import Mapping


class Peppers:
    """Seals digests with the current pepper and knows those of every version that is configured."""

    def __init__(self, versions: Mapping[int, bytes]) -> None:
        """``versions`` by number; the one that is named first seals what is new.

        So a new pepper can be made known to every process before the first of them seals anything with it.
        """
        self._versions = dict(versions)
        self.current = next(iter(versions))

    def seal(self, digest: str) -> bytes:
        """HMAC-SHA256(current pepper, SHA-256(key)): the 32 bytes that a row holds.

        Raises:
            ValueError: ``digest`` is no hex.
        """
        return hmac.digest(self._versions[self.current], bytes.fromhex(digest), "sha256")

    def matches(self, digest: str, sealed: bytes, version: int) -> bool:
        """Whether ``sealed`` is this digest under the pepper of ``version``, in constant time.

        A version that is no longer configured matches nothing.
        """
        pepper = self._versions.get(version)
        if pepper is None:
            return False
        return hmac.compare_digest(hmac.digest(pepper, bytes.fromhex(digest), "sha256"), sealed)
