"""The load: people, clients and checks at random, every answer written down."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Self

import aiohttp

from tests.chaos.cluster import Cluster
from tests.chaos.history import LOST, History, Operation, Step, Story
from tests.harness.people import Account, RegisteredClient

CALLBACK: Final = "https://integrator.example/callback"
TIMEOUT: Final = aiohttp.ClientTimeout(total=8, connect=3)


@dataclass(frozen=True, slots=True)
class Pair:
    """A person and a client; few keys come of each pair, so that the limit of ten never ends one."""

    account: Account
    client: RegisteredClient


class Load:
    """Plays flows against the replicas until told to stop."""

    def __init__(self, cluster: Cluster, history: History, rng: random.Random) -> None:
        """Everything random comes from ``rng``."""
        self._cluster = cluster
        self._history = history
        self._rng = rng
        self._stack = AsyncExitStack()
        self._stopping = False
        self._pairs: list[Pair] = []
        self._keys_left: dict[int, int] = {}
        self.exchanges = 0

    async def __aenter__(self) -> Self:
        """Signs people up and registers clients while all is well."""
        self._http = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                timeout=TIMEOUT, connector=aiohttp.TCPConnector(limit=200, force_close=False)
            )
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends the sessions."""
        await self._stack.aclose()

    async def populate(self, people: int, clients: int) -> None:
        """Makes a pair of each of ``people`` and each of ``clients``."""
        url = self._cluster.public_url
        author = await self._stack.enter_async_context(Account(url))
        registered = [await author.register(redirectUri=CALLBACK) for _ in range(clients)]
        for _ in range(people):
            account = await self._stack.enter_async_context(Account(url))
            self._pairs += [Pair(account, client) for client in registered]
        self._keys_left = dict.fromkeys(range(len(self._pairs)), 9)

    async def run(self, workers: int) -> None:
        """Plays until ``stop`` is called or no pair may get another key."""
        await asyncio.gather(*(self._play_on() for _ in range(workers)))

    def stop(self) -> None:
        """Lets every worker finish what it is at."""
        self._stopping = True

    async def _play_on(self) -> None:
        while not self._stopping and self._keys_left:
            index = self._rng.choice(list(self._keys_left))
            self._keys_left[index] -= 1
            if not self._keys_left[index]:
                del self._keys_left[index]
            await self._play(self._pairs[index])

    async def _play(self, pair: Pair) -> None:
        story = await self._consent(pair)
        if story is None:
            await asyncio.sleep(0.1)
            return
        self._history.stories.append(story)
        plot = self._rng.random()
        if plot < 0.1:
            await asyncio.gather(*(self._exchange(pair, story) for _ in range(4)))
        elif plot < 0.35:
            await self._exchange_safely(pair, story)
        else:
            await self._exchange_until_answered(pair, story)
        if not story.tokens:
            return
        token = story.tokens[0]
        await self._check(story, token)
        if plot > 0.9:
            await self._exchange(pair, story)
        elif self._rng.random() < 0.5:
            await self._revoke(pair, story, token)
        await self._check(story, token)

    async def _consent(self, pair: Pair) -> Story | None:
        operation, body = await self._send(
            "code",
            self._pick("auth-api"),
            "/api/v1/oauth/create-code",
            json={"clientID": pair.client.client_id},
            headers={"Origin": self._cluster.public_url},
            cookies=pair.account.cookies,
        )
        if operation.status != 200:
            self._history.other_failures.append(operation)
            return None
        return Story(body["code"], operation.ended)

    async def _exchange_until_answered(self, pair: Pair, story: Story) -> None:
        for _ in range(12):
            operation = await self._exchange(pair, story)
            if operation.status != 503:
                return
            await asyncio.sleep(1)

    async def _exchange_safely(self, pair: Pair, story: Story) -> None:
        """As a careful client does: the same Idempotency-Key until there is an answer."""
        key = secrets.token_hex(8)
        for _ in range(12):
            operation = await self._exchange(pair, story, key)
            if operation.status not in (LOST, 503, 409):
                return
            await asyncio.sleep(1)

    async def _exchange(self, pair: Pair, story: Story, idempotency_key: str = "") -> Operation:
        operation, body = await self._send(
            "exchange",
            self._pick("auth-api"),
            "/api/v1/oauth/token",
            data={"grant_type": "authorization_code", "code": story.code, "redirect_uri": CALLBACK},
            headers=_basic(pair.client) | ({"Idempotency-Key": idempotency_key} if idempotency_key else {}),
        )
        operation.idempotency_key = idempotency_key
        operation.token = body.get("access_token", "")
        if operation.status != 409:
            story.operations.append(operation)
        self.exchanges += operation.status == 200
        return operation

    async def _check(self, story: Story, token: str) -> None:
        for issuer in ("key-issuer-1", "key-issuer-2"):
            operation, _ = await self._send(
                "verify", issuer, "/api/v1/verify", headers={"Authorization": f"Bearer {token}"}
            )
            operation.token = token
            story.operations.append(operation)

    async def _revoke(self, pair: Pair, story: Story, token: str) -> None:
        operation, _ = await self._send(
            "revoke",
            self._pick("auth-api"),
            "/api/v1/oauth/revoke",
            data={"token": token},
            headers=_basic(pair.client),
        )
        operation.token = token
        story.operations.append(operation)

    async def check_all(self, stories: Sequence[Story]) -> None:
        """Checks every key of every story once more at both verifiers."""
        gate = asyncio.Semaphore(32)

        async def check(story: Story, token: str) -> None:
            async with gate:
                await self._check(story, token)

        await asyncio.gather(*(check(story, token) for story in stories for token in story.tokens))

    def _pick(self, service: str) -> str:
        return f"{service}-{self._rng.choice((1, 2))}"

    async def _send(
        self, step: Step, target: str, path: str, **request: Any
    ) -> tuple[Operation, dict[str, Any]]:
        method = "GET" if step == "verify" else "POST"
        clock = asyncio.get_running_loop().time
        began = clock()
        status, body = LOST, {}
        error = ""
        try:
            async with self._http.request(method, self._cluster.urls[target] + path, **request) as answer:
                text = await answer.read()
                status = answer.status
                if text and answer.content_type.endswith("json"):
                    body = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError) as lost:
            error, status, body = type(lost).__name__, LOST, {}
        return Operation(step, target, began, clock(), status, body.get("error", error)), body


def _basic(client: RegisteredClient) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(client.client_id, client.client_secret or "")}
