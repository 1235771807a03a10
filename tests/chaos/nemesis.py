"""The nemesis: harms services, stores and the lines between them, heals everything, and writes both down."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

from tests.chaos.cluster import PROGRAMS, SERVICES, STORES, Cluster
from tests.chaos.history import Fault, FaultKind, History

Harm = Callable[[], Awaitable[None]]
NextAnswer = Callable[[Callable[[str], bool]], None]
"""Takes what to call with the name of each auth_api that answers with a key, until that says it need not be called."""

REFUSED_SECONDS: Final = 6.0
"""Longer than a verifier may take to notice that it hears nothing (3 s), and long enough to see what it does then."""
ANSWER_SECONDS: Final = 10.0
_SERVICES: Final = (*SERVICES, *PROGRAMS)
_AUTH_APIS: Final = tuple(name for name in SERVICES if SERVICES[name] == "auth-api")
_ISSUERS: Final = tuple(name for name in SERVICES if SERVICES[name] == "key-issuer")
_REFUSALS: Final = ({"maxmemory": "1"}, {"min_replicas_to_write": "1"})
_HEALTHY: Final = {"maxmemory": "0", "min_replicas_to_write": "0"}


class Nemesis:
    """Does harm at random times, heals it, and writes both down."""

    def __init__(
        self, cluster: Cluster, history: History, rng: random.Random, next_answer: NextAnswer
    ) -> None:
        """Everything random comes from ``rng``."""
        self._cluster = cluster
        self._history = history
        self._rng = rng
        self._next_answer = next_answer
        self._lanes: Sequence[tuple[float, Sequence[Harm]]] = (
            (0.5, (self._kill_service, self._kill_answerer, self._stall_service, self._kill_issuers)),
            (0.5, (self._kill_store, self._stall_store)),
            (1.0, (self._overtake, self._overtake, self._overtake, self._stop_cut_off)),
            (20.0, (self._refuse_writes,)),
        )
        self._hands = asyncio.Semaphore(len(self._lanes))
        self._harmed: set[str] = set()
        self._over = asyncio.Event()

    async def rage(self, seconds: float) -> None:
        """Harms for so long, and heals what is harmed then; everything runs again when it returns."""
        asyncio.get_running_loop().call_later(seconds, self._over.set)
        await asyncio.gather(*(self._go_on(pause, harms) for pause, harms in self._lanes))
        await self._cluster.all_ready()

    async def _go_on(self, pause: float, harms: Sequence[Harm]) -> None:
        """One lane: a harm after the other, with pauses of about so many seconds."""
        while not self._over.is_set():
            await self._pause(pause / 2, pause + 2)
            harm = self._rng.choice(harms)
            async with self._with_hands(len(self._lanes) if harm == self._refuse_writes else 1):
                if not self._over.is_set():
                    await harm()

    async def _pause(self, shortest: float, longest: float) -> None:
        """Lets a harm last, or waits between two; not past the end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), self._rng.uniform(shortest, longest))

    async def _wait_for(self, something: asyncio.Future[Any], seconds: float | None = None) -> None:
        """Waits for something, but not past the end."""
        over = asyncio.ensure_future(self._over.wait())
        await asyncio.wait((something, over), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()

    @asynccontextmanager
    async def _with_hands(self, number: int) -> AsyncIterator[None]:
        """With all of them nothing else is harmed; only one lane ever asks for more than one."""
        taken = 0
        try:
            for _ in range(number):
                await self._hands.acquire()
                taken += 1
            yield
        finally:
            for _ in range(taken):
                self._hands.release()

    @contextmanager
    def _harming(self, name: str) -> Iterator[float]:
        """A service that no other lane kills or stops meanwhile; when that began."""
        self._harmed.add(name)
        try:
            yield asyncio.get_running_loop().time()
        finally:
            self._harmed.discard(name)

    def _pick(self, names: Sequence[str]) -> str | None:
        """One that is not being harmed."""
        whole = [name for name in names if name not in self._harmed]
        return self._rng.choice(whole) if whole else None

    async def _kill_service(self) -> None:
        name = self._pick(_SERVICES)
        if name is not None:
            await self._kill(name)

    async def _kill_answerer(self) -> None:
        """``kill -9`` in the very moment in which a key has been answered."""
        began = asyncio.get_running_loop().time()
        name = await self._strike_answerer(self._cluster.kill)
        if name is not None:
            with self._harming(name):
                await self._revive(name)
                self._note("kill", name, began)

    async def _strike_answerer(self, strike: Callable[[str], None]) -> str | None:
        """Does something to the next auth_api that answers with a key, before anything else happens; which one it was."""
        struck: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def answered(name: str) -> bool:
            if not struck.done() and name not in self._harmed:
                self._harmed.add(name)
                strike(name)
                struck.set_result(name)
            return struck.done()

        self._next_answer(answered)
        await self._wait_for(struck, ANSWER_SECONDS)
        if struck.done():
            return struck.result()
        struck.cancel()  # so that nothing is struck any more
        return None

    async def _kill_issuers(self) -> None:
        """No replica is left."""
        await asyncio.gather(*(self._kill(name) for name in _ISSUERS))

    async def _kill(self, name: str) -> None:
        with self._harming(name) as began:
            self._cluster.kill(name)
            await self._revive(name)
            self._note("kill", name, began)

    async def _revive(self, name: str) -> None:
        await self._pause(0, 1.5)
        self._cluster.spawn_service(name)
        await self._cluster.ready(name)

    async def _stall_service(self) -> None:
        name = self._pick(_SERVICES)
        if name is None:
            return
        with self._harming(name):
            began = await self._stall(name)
            await self._cluster.ready(name)
            self._note("stall", name, began)

    async def _stall_store(self) -> None:
        name = self._rng.choice(STORES)
        began = await self._stall(name)
        await self._cluster.all_ready()
        self._note("stall", name, began)

    async def _stall(self, name: str) -> float:
        began = asyncio.get_running_loop().time()
        pids = self._cluster.stall(name)
        await self._pause(0.3, 6)
        self._cluster.go_on(pids)
        return began

    async def _kill_store(self) -> None:
        name = self._rng.choice(STORES)
        began = asyncio.get_running_loop().time()
        self._cluster.kill(name)
        await self._cluster.all_ready()
        self._note("kill", name, began)

    async def _overtake(self) -> None:
        """What an auth_api has sent to Redis is late; what it sends on new connections is not."""
        name = self._rng.choice(_AUTH_APIS)
        began = asyncio.get_running_loop().time()
        self._cluster.lines[name].hold()
        await self._pause(1.0, 3.2)
        self._cluster.lines[name].let_go()
        self._note("hold", name, began)

    async def _stop_cut_off(self) -> None:
        """SIGTERM to an auth_api that has just answered with a key and cannot reach Redis any more."""

        def strike(name: str) -> None:
            self._cluster.lines[name].cut()
            self._cluster.terminate(name)

        began = asyncio.get_running_loop().time()
        name = await self._strike_answerer(strike)
        if name is not None:
            with self._harming(name):
                ended = asyncio.ensure_future(self._cluster.ended(name))
                await self._wait_for(ended)
                self._cluster.lines[name].mend()
                await ended
                self._cluster.spawn_service(name)
                await self._cluster.ready(name)
                self._note("stop", name, began)

    async def _refuse_writes(self) -> None:
        """Redis is full, or has fewer replicas than it must: it reads and does not write."""
        await self._cluster.all_ready()
        began = asyncio.get_running_loop().time()
        try:
            await self._cluster.configure_redis(**self._rng.choice(_REFUSALS))
            await self._pause(REFUSED_SECONDS, REFUSED_SECONDS)
        finally:
            await self._cluster.configure_redis(**_HEALTHY)
        self._note("refuse", "valkey", began)
        await self._cluster.all_ready()

    def _note(self, kind: FaultKind, name: str, began: float) -> None:
        self._history.faults.append(Fault(kind, name, began, asyncio.get_running_loop().time()))
