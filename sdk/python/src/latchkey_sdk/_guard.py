"""The guard: is this a live key, and may it do this? From memory where that may be believed, else by asking."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from hashlib import sha256
from types import TracebackType
from typing import Final, Self

from aiohttp import ClientSession

from latchkey_sdk import _clock
from latchkey_sdk._introspection import Introspection
from latchkey_sdk._key import LONGEST_KEY, Key, looks_like_a_key
from latchkey_sdk._memory import UNHEARD_SECONDS, KeyMemory, Learnt
from latchkey_sdk._refused import Refused, lacks_permission, no_key, not_live, unknown
from latchkey_sdk._service import Service
from latchkey_sdk._stream import RevocationStream

CHECK_SECONDS: Final = 3.0
"""How long a check may take before it is answered 503."""
MOST_WAITING: Final = 1_000
"""How many keys may be asked about or wait for it; beyond that the answer is 503 at once."""
_TRIES: Final = 3


class Guard:
    """Checks keys for one application. Use it as ``async with Guard(…) as guard``, once, for the application's life.

    It keeps a connection to Latchkey over which it hears of revocations, and remembers live keys meanwhile: for up to 60
    seconds while that connection speaks, for two seconds otherwise, so that no key is accepted longer than five seconds
    after it was revoked, whatever fails. It never remembers a refusal, holds no key (but SHA-256 digests), and logs none.
    """

    def __init__(self, url: str, service_key: str, resource: str | None = None) -> None:
        """Checks what it is given, and connects to nothing yet.

        Args:
            url: where Latchkey answers; https, or http on this machine and in a private network.
            service_key: made by ``latchkey service-key create --name NAME --permission introspect``.
            resource: the address of this API, where keys may be bound to one (RFC 8707).

        Raises:
            ValueError: the address or the key cannot be right.
        """
        self._service = Service.at(url, service_key)
        self._resource = resource
        self._memory = KeyMemory(_clock.now)
        self._flights: dict[bytes, asyncio.Task[Key | None]] = {}
        self._http: ClientSession | None = None
        self._introspection: Introspection | None = None
        self._listening: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Guard {self._service.url}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Begins to listen for revocations; for those who cannot use ``async with``. Waits for nothing."""
        if self._http is not None:
            raise RuntimeError("this Guard is in use already")
        self._http = self._service.open_session(UNHEARD_SECONDS, {"Accept": "application/json"})
        self._introspection = Introspection(self._service, self._http, _clock.now, self._resource)
        stream = RevocationStream(self._service, self._memory, _clock.now)
        self._listening = asyncio.ensure_future(stream.run())

    async def close(self) -> None:
        """Ends every connection; checks are refused from now on. Safe to repeat."""
        tasks = [*self._flights.values(), *([] if self._listening is None else [self._listening])]
        http, self._http, self._introspection, self._listening = self._http, None, None, None
        self._memory.go_deaf()
        self._memory.forget_all()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if http is not None:
            await http.close()

    @property
    def stream_alive(self) -> bool:
        """Whether revocations are being heard: if not, keys are remembered for two seconds only."""
        return self._memory.alive

    async def check(self, key: str | None, *permissions: str) -> Key:
        """What is known of a live key that has all these permissions.

        Args:
            key: what follows ``Authorization: Bearer``; ``None`` or an empty text where there is none.
            permissions: what the request needs; none for any live key.

        Raises:
            Refused: 401 no key or no live one, 403 a permission is missing, 503 it cannot be known within three seconds.
        """
        return await self.check_digest(digest_of(key), key or "", permissions)

    def recall(self, digest: bytes, permissions: tuple[str, ...]) -> Key | None:
        """``check`` from memory alone, in any thread; ``None`` where Latchkey has to be asked.

        Raises:
            Refused: 403.
        """
        known = self._memory.recall(digest)
        return None if known is None else _permitted(known, permissions)

    async def check_digest(self, digest: bytes, key: str, permissions: tuple[str, ...]) -> Key:
        """``check`` for those who have the key's digest already."""
        known = self._memory.recall(digest)
        if known is None:
            if self._introspection is None:
                raise RuntimeError("check() needs a Guard in use: async with Guard(…) as guard")
            known = await self._find(digest, key)
            if known is None:
                raise not_live()
        return _permitted(known, permissions)

    async def _find(self, digest: bytes, key: str) -> Key | None:
        """Asks once, however many checks of the key wait."""
        flight = self._flights.get(digest)
        if flight is None:
            if not looks_like_a_key(key):
                return None
            if len(self._flights) >= MOST_WAITING:
                raise unknown()
            flight = asyncio.ensure_future(self._ask(digest, key))
            self._flights[digest] = flight
            flight.add_done_callback(lambda done: self._land(digest, done))
        try:
            # A caller that goes away leaves the question to the others.
            return await asyncio.shield(flight)
        except Refused as refused:
            raise unknown(
                refused.retry_after or 1
            ) from None  # one exception, one traceback for each who waits
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if flight.cancelled() and task is not None and not task.cancelling():  # the guard was closed
                raise unknown() from None
            raise

    def _land(self, digest: bytes, flight: asyncio.Task[Key | None]) -> None:
        self._flights.pop(digest, None)
        if not flight.cancelled():
            flight.exception()  # all who waited may have gone away: it is not a mistake that nobody looks at it

    async def _ask(self, digest: bytes, key: str) -> Key | None:
        introspection = self._introspection
        assert introspection is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(CHECK_SECONDS):
                for _ in range(_TRIES):
                    answer = await introspection.ask(key)
                    if answer.key is None:
                        return None
                    learnt = self._memory.learn(digest, answer.key, answer.asked_at, answer.seconds)
                    if learnt is Learnt.USABLE:
                        return answer.key
        raise unknown()


def digest_of(key: str | None) -> bytes:
    """By which a key is remembered.

    Raises:
        Refused: 401, it is none, or surely not one.
    """
    if not key:
        raise no_key()
    if len(key) > LONGEST_KEY or not key.isascii():
        raise not_live()
    return sha256(key.encode("ascii")).digest()


def _permitted(key: Key, permissions: tuple[str, ...]) -> Key:
    for permission in permissions:
        if permission not in key.permissions:
            raise lacks_permission(permissions)
    return key
