"""The nemesis: kills, stalls and restarts services and, at the same time, stores."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal

from tests.chaos.cluster import SERVICES, STORES, Cluster
from tests.chaos.history import Fault, History

_SERVICES: Final = tuple(SERVICES)


class Nemesis:
    """Does harm at random times, heals it, and writes both down."""

    def __init__(self, cluster: Cluster, history: History, rng: random.Random) -> None:
        """Everything random comes from ``rng``."""
        self._cluster = cluster
        self._history = history
        self._rng = rng

    async def rage(self, until: float) -> None:
        """Harms until the loop's clock says ``until``; everything runs again when it returns."""
        services = self._go_on(
            until, (self._kill_service, self._kill_service, self._stall_service, self._kill_issuers)
        )
        stores = self._go_on(until, (self._kill_store, self._stall_store))
        await asyncio.gather(services, stores)
        await self._cluster.all_ready()

    async def _go_on(self, until: float, harms: Sequence[Callable[[], Awaitable[None]]]) -> None:
        clock = asyncio.get_running_loop().time
        while clock() < until:
            await asyncio.sleep(self._rng.uniform(0.5, 2.5))
            await self._rng.choice(harms)()

    async def _kill_service(self) -> None:
        await self._kill(self._rng.choice(_SERVICES))

    async def _kill_issuers(self) -> None:
        """No replica is left."""
        await asyncio.gather(*(self._kill(name) for name in _SERVICES if SERVICES[name] == "key-issuer"))

    async def _kill(self, name: str) -> None:
        began = asyncio.get_running_loop().time()
        self._cluster.kill(name)
        await asyncio.sleep(self._rng.uniform(0, 1.5))
        self._cluster.spawn_service(name)
        await self._cluster.ready(name)
        self._note("kill", name, began)

    async def _stall_service(self) -> None:
        name = self._rng.choice(_SERVICES)
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
        await asyncio.sleep(self._rng.uniform(0.3, 6))
        self._cluster.go_on(pids)
        return began

    async def _kill_store(self) -> None:
        name = self._rng.choice(STORES)
        began = asyncio.get_running_loop().time()
        self._cluster.kill(name)
        await self._cluster.all_ready()
        self._note("kill", name, began)

    def _note(self, kind: Literal["kill", "stall"], name: str, began: float) -> None:
        self._history.faults.append(Fault(kind, name, began, asyncio.get_running_loop().time()))
