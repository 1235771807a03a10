"""Is this a live key? Shape and checksum, memory, then one indexed read; nothing stale, nothing guessed."""

from __future__ import annotations

import hashlib
from typing import Final

from services.key_issuer.issuer import Issuer
from services.key_issuer.key_reader import KeyReader
from services.key_issuer.metrics import IssuerMetrics
from services.key_issuer.records import LiveKey, LiveRecord, LiveServiceKey
from shared.api_key import parse_key

LONGEST_KEY: Final = 80


class Verifier:
    """Answers checks for one process."""

    def __init__(self, issuer: Issuer, counts: IssuerMetrics) -> None:
        """``issuer`` has the memory and the table."""
        self._clock = issuer.clock
        self._cache = issuer.cache
        self._reader = KeyReader(issuer, counts)

    async def live_key(self, token: str) -> LiveKey | None:
        """The user's key that ``token`` is, if it is live now; ``None`` for everything else alike.

        Raises:
            StoreUnavailable: it is not remembered and PostgreSQL does not answer.
        """
        record = await self._find(token)
        return record if isinstance(record, LiveKey) else None

    async def live_service_key(self, token: str) -> LiveServiceKey | None:
        """The service key that ``token`` is, if it is live now.

        Raises:
            StoreUnavailable: it is not remembered and PostgreSQL does not answer.
        """
        record = await self._find(token)
        return record if isinstance(record, LiveServiceKey) else None

    async def _find(self, token: str) -> LiveRecord | None:
        if len(token) > LONGEST_KEY or not token.isascii():
            return None
        digest = hashlib.sha256(token.encode("ascii")).digest()
        entry = self._cache.find(digest)
        if entry is None:
            parsed = parse_key(token)
            if parsed is None:
                return None
            record = await self._reader.read(digest, parsed)
        else:
            record = entry.record
        if isinstance(record, LiveKey) and not _unexpired(record, self._clock.now()):
            return None
        return record


def _unexpired(key: LiveKey, now: int) -> bool:
    return key.expires_on is None or now < key.expires_on
