"""The partner that reports leaked keys by the hundred: its public keys, kept and read anew, and room for what it sends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from shared.clock import Clock
from shared.errors import StoreUnavailable
from shared.partner_keys import has_signed, read_partner_keys
from shared.web.guarded_fetcher import FetchError, GuardedFetcher

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

BELIEVED_SECONDS: Final = 86_400.0
"""A key that the partner publishes no longer is believed for a day more, and as long as its keys cannot be read."""
AGAIN_SECONDS: Final = 300.0
"""A report with an unknown key has the keys read anew, but not more often than this."""
AFTER_FAILURE_SECONDS: Final = 60.0
FETCH_SECONDS: Final = 2.0
"""An answer is out within 4 s, and the keys in the report are to be dead by then."""
LARGEST_DOCUMENT: Final = 64 * 1024
LARGE_REPORTS: Final = 8
"""So many reports that are larger than other bodies are read at a time."""

ReadKeys = Callable[[], Awaitable[bytes]]
"""Reads what the partner publishes, or fails with ``OSError``."""

_ACCEPT: Final = {"Accept": "application/json"}

_log = structlog.get_logger(__name__)


class LeakPartner:
    """Whose signature makes a report worth reading although it is long; nobody's, unless the operator names its keys."""

    def __init__(self, read: ReadKeys | None, clock: Clock) -> None:
        """Reads nothing yet."""
        self._read = read
        self._clock = clock
        self._keys: Mapping[str, EllipticCurvePublicKey] = {}
        self._good_until = float("-inf")
        self._again_at = float("-inf")
        self._fault: str | None = None
        self._reading = asyncio.Lock()
        self.room = asyncio.Semaphore(LARGE_REPORTS)

    async def knows(self, identifier: str) -> bool:
        """Whether the partner has a key of this name; they are read anew where it is unknown, or they are old.

        Raises:
            StoreUnavailable: it is unknown, and the keys could not be read anew.
        """
        if self._read is not None and (identifier not in self._keys or self._is_past(self._good_until)):
            async with self._reading:
                if self._is_past(self._again_at):
                    await self._read_anew(self._read)
            if identifier not in self._keys and self._fault is not None:
                raise StoreUnavailable("leak_partner", self._fault)
        return identifier in self._keys

    def has_signed(self, identifier: str, signature: str, report: bytes) -> bool:
        """Whether the key of this name has signed exactly these bytes."""
        key = self._keys.get(identifier)
        return key is not None and has_signed(key, signature, report)

    async def _read_anew(self, read: ReadKeys) -> None:
        self._again_at = self._clock.monotonic() + AFTER_FAILURE_SECONDS
        try:
            self._keys = read_partner_keys(await read())
        except (OSError, ValueError) as error:
            self._fault = str(error) or type(error).__name__
            _log.warning("leak_partner_keys_unread", reason=self._fault)
            return
        now = self._clock.monotonic()
        self._fault, self._good_until, self._again_at = None, now + BELIEVED_SECONDS, now + AGAIN_SECONDS

    def _is_past(self, moment: float) -> bool:
        return self._clock.monotonic() >= moment


def reader_of(source: Path | str | None, fetcher: GuardedFetcher) -> ReadKeys | None:
    """What reads the keys from the operator's file, or from the partner's address; ``None`` where neither is named."""
    match source:
        case Path():
            return _file_reader(source)
        case str():
            return partial(_fetch, fetcher, source)
    return None


def _file_reader(path: Path) -> ReadKeys:
    read_file = path.read_bytes  # a few hundred bytes, of the operator's own

    async def read() -> bytes:
        return read_file()

    return read


async def _fetch(fetcher: GuardedFetcher, address: str) -> bytes:
    try:
        answer = await fetcher.fetch(
            "GET", address, _ACCEPT, seconds=FETCH_SECONDS, most_bytes=LARGEST_DOCUMENT
        )
    except FetchError as error:
        raise OSError(f"{type(error).__name__}: {error}") from None
    if answer.status != HTTPStatus.OK:
        raise OSError(f"it was answered {answer.status}")
    return answer.body
