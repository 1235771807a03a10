"""Clients that ask about their own keys: authenticated by auth_api over the bus, the answer kept for a second."""

from __future__ import annotations

import asyncio
from typing import Final

from shared.bus import Bus
from shared.clock import Clock
from shared.contracts.clients import AuthenticateClient, ClientAuthenticated
from shared.secret_tokens import digest_of, peer_digest

KEPT_SECONDS: Final = 1.0
"""A reset secret is refused everywhere a second later."""
MOST_KEPT: Final = 10_000

_Credentials = tuple[str, str]


class ClientAuthenticator:
    """Asks once for many requests of one client; only digests of secrets leave or stay."""

    def __init__(self, bus: Bus, clock: Clock, key: bytes) -> None:
        """``key`` is a secret of the site, under which the addresses of peers leave the process."""
        self._bus = bus
        self._clock = clock
        self._key = key
        self._good_until: dict[_Credentials, float] = {}
        self._asked: dict[tuple[str, str, str], asyncio.Task[ClientAuthenticated]] = {}

    async def authenticate(self, client_id: str, secret: str, peer: str) -> ClientAuthenticated:
        """Whether this is the client's secret.

        Raises:
            StoreUnavailable: auth_api cannot be asked.
        """
        credentials = (client_id, digest_of(secret))
        if self._good_until.get(credentials, 0.0) > self._clock.monotonic():
            return ClientAuthenticated(authenticated=True)
        question = (*credentials, peer)
        task = self._asked.get(question)
        if task is None:
            task = asyncio.create_task(self._ask(credentials, peer))
            self._asked[question] = task
            task.add_done_callback(lambda done: self._answered(question, done))
        return await asyncio.shield(task)

    async def _ask(self, credentials: _Credentials, peer: str) -> ClientAuthenticated:
        asked_on = self._clock.monotonic()
        client_id, digest = credentials
        answer = await self._bus.request(
            AuthenticateClient(client_id=client_id, secret_digest=digest, peer=peer_digest(self._key, peer))
        )
        if answer.authenticated:
            self._forget_old(asked_on)
            self._good_until[credentials] = asked_on + KEPT_SECONDS
        return answer

    def _answered(self, question: tuple[str, str, str], task: asyncio.Task[ClientAuthenticated]) -> None:
        del self._asked[question]
        if not task.cancelled():
            task.exception()

    def _forget_old(self, now: float) -> None:
        while self._good_until:
            oldest = next(iter(self._good_until))
            if self._good_until[oldest] > now and len(self._good_until) < MOST_KEPT:
                break
            del self._good_until[oldest]
