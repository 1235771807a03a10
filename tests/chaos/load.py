"""The load: people, clients and checks at random, every answer written down."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final, Self

from tests.chaos.cluster import Cluster
from tests.chaos.history import LOST, History, Operation, Story
from tests.chaos.requests import CALLBACK, ISSUERS, VERIFIERS, Requests
from tests.chaos.rotations import Rotor
from tests.chaos.webhooks import Receiver
from tests.harness.people import Account, RegisteredClient

LONGEST_UNUSED: Final = 60.0
"""A key may be used for the first time so many seconds after it was handed out."""
WATCHERS: Final = 4
ROTORS: Final = 2
_WATCHED_SECONDS: Final = 6.0
_TRIES: Final = 12
_RETRIED: Final = (503,)
_RETRIED_SAFELY: Final = (LOST, 503, 409)


@dataclass(frozen=True, slots=True)
class Pair:
    """A person and a client; few keys come of each pair, so that the limit of ten never ends one."""

    account: Account
    client: RegisteredClient


class Load:
    """Plays flows against the replicas until told to stop."""

    def __init__(self, cluster: Cluster, history: History, rng: random.Random, receiver: Receiver) -> None:
        """Everything random comes from ``rng``."""
        self._cluster = cluster
        self._receiver = receiver
        self._history = history
        self._rng = rng
        self._stack = AsyncExitStack()
        self._requests = Requests(cluster, rng)
        self._stopping = asyncio.Event()
        self._pairs: list[Pair] = []
        self._keys_left: dict[int, int] = {}
        self._afterlives: set[asyncio.Task[None]] = set()
        self._spare: list[tuple[Story, str]] = []
        self._listeners: list[Callable[[str], bool]] = []
        self._rotors: list[Rotor] = []
        self.exchanges = 0

    async def __aenter__(self) -> Self:
        """Opens the connections."""
        await self._stack.enter_async_context(self._requests)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends the sessions."""
        await self._stack.aclose()

    async def populate(self, people: int, clients: int) -> None:
        """Signs up and registers while all is well, and makes a pair of each of ``people`` and each of ``clients``."""
        url = self._cluster.public_url
        author = await self._stack.enter_async_context(Account(url))
        registered = [await self._register(author, f"program-{number}") for number in range(clients)]
        for _ in range(people):
            account = await self._stack.enter_async_context(Account(url))
            self._pairs += [Pair(account, client) for client in registered]
        self._keys_left = dict.fromkeys(range(len(self._pairs)), 9)
        for _ in range(ROTORS):
            account = await self._stack.enter_async_context(Account(url))
            self._rotors.append(Rotor(account, self._requests, self._history, self._rng))

    async def _register(self, author: Account, name: str) -> RegisteredClient:
        client = await author.register(redirectUri=CALLBACK, webhookUri=f"{self._receiver.url}/{name}")
        await self._receiver.learn_keys(name, author, client)
        return client

    async def run(self, workers: int) -> None:
        """Plays until ``stop`` is called or no pair may get another key."""
        watching = [self._until_stopped(self._watch) for _ in range(WATCHERS)]
        rotating = [self._until_stopped(rotor.turn) for rotor in self._rotors]
        await asyncio.gather(*(self._play_on() for _ in range(workers)), *watching, *rotating)
        await asyncio.gather(*self._afterlives)

    def stop(self) -> None:
        """Lets every worker finish what it is at, and uses the keys that wait for their first use."""
        self._stopping.set()

    def next_answer(self, listener: Callable[[str], bool]) -> None:
        """Calls ``listener`` with the name of each auth_api that has just answered with a key, until it says True."""
        self._listeners.append(listener)

    async def settle(self) -> None:
        """In peace: every rotation gets its answer, and every key of every story is checked once more."""
        for rotor in self._rotors:
            await rotor.settle()
        await self._check_all(self._history.stories)

    async def _until_stopped(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while not self._stopping.is_set():
            await work()
            await self._pause(0.2)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _play_on(self) -> None:
        while not self._stopping.is_set() and self._keys_left:
            index = self._rng.choice(list(self._keys_left))
            pair = self._pairs[index]
            operation, code = await self._requests.consent(pair.account, pair.client)
            if operation.status != 200:
                self._history.other_failures.append(operation)
                await self._pause(0.3)
            elif index in self._keys_left:
                self._keys_left[index] -= 1
                if not self._keys_left[index]:
                    del self._keys_left[index]
                await self._play(pair, code, operation.ended)

    async def _play(self, pair: Pair, code: str, given: float) -> None:
        story = Story(code, given)
        self._history.stories.append(story)
        plot = self._rng.random()
        if plot < 0.1:
            await asyncio.gather(*(self._exchange(pair, story) for _ in range(4)))
        elif plot < 0.35:
            # As a careful client does: the same Idempotency-Key until there is an answer.
            await self._exchange_until_answered(pair, story, secrets.token_hex(8), _RETRIED_SAFELY)
        else:
            await self._exchange_until_answered(pair, story, "", _RETRIED)
        if story.tokens:
            afterlife = asyncio.create_task(self._afterlife(pair, story, story.tokens[0], plot))
            self._afterlives.add(afterlife)
            afterlife.add_done_callback(self._afterlives.discard)

    async def _exchange_until_answered(
        self, pair: Pair, story: Story, key: str, retried: Sequence[int]
    ) -> None:
        for _ in range(_TRIES):
            operation = await self._exchange(pair, story, key)
            if operation.status not in retried:
                return
            await asyncio.sleep(1)

    async def _exchange(self, pair: Pair, story: Story, idempotency_key: str = "") -> Operation:
        """One try; the key that comes of it is looked for in its owner's list at once."""
        operation = await self._requests.exchange(pair.client, story.code, idempotency_key)
        if operation.status == 200:
            self._listeners = [each for each in self._listeners if not each(operation.target)]
        if operation.status != 409:
            story.operations.append(operation)
        if operation.token:
            self.exchanges += 1
            story.operations.append(await self._requests.list_keys(pair.account, operation.token))
        return operation

    async def _afterlife(self, pair: Pair, story: Story, token: str, plot: float) -> None:
        """What becomes of a key: used at once or much later, replayed, taken back in one of three ways, or kept."""
        if self._rng.random() < 0.6:
            await self._pause(self._rng.uniform(0, LONGEST_UNUSED))
        await self._requests.check_everywhere(story, token)
        if plot > 0.9:
            await self._exchange(pair, story)
        elif plot > 0.7:
            self._spare.append((story, token))
            return
        else:
            end = self._rng.random()
            if end < 0.3:
                story.operations.append(await self._requests.revoke(pair.client, token))
            elif end < 0.5:
                story.operations.append(await self._requests.delete(pair.account, token))
        await self._requests.check_everywhere(story, token)

    async def _watch(self) -> None:
        """Reports a key to one verifier as leaked, and looks how long another one or a program accepts it."""
        if not self._spare:
            return
        story, token = self._spare.pop()
        teller = self._rng.choice(ISSUERS)
        other = self._rng.choice([verifier for verifier in VERIFIERS if verifier != teller])
        story.operations.append(await self._requests.check(token, other))
        report = await self._requests.report_leak(token, teller)
        story.operations.append(report)
        clock = asyncio.get_running_loop().time
        over = clock() + _WATCHED_SECONDS
        while report.status == 202 and clock() < over:
            check = await self._requests.check(token, other)
            story.operations.append(check)
            if check.status == 401:
                return
            await asyncio.sleep(0.2)

    async def _check_all(self, stories: Sequence[Story]) -> None:
        gate = asyncio.Semaphore(32)

        async def check(story: Story, token: str) -> None:
            async with gate:
                await self._requests.check_everywhere(story, token)

        await asyncio.gather(*(check(story, token) for story in stories for token in story.tokens))
