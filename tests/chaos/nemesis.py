"""The nemesis: kills, stalls and restarts one thing after another."""

from __future__ import annotations

import asyncio
import random
from typing import Final

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
        clock = asyncio.get_running_loop().time
        while clock() < until:
            await asyncio.sleep(self._rng.uniform(0.5, 2.5))
            await self._rng.choice((self._kill_service, self._kill_service, self._stall, self._kill_store))()

    async def _kill_service(self) -> None:
        name = self._rng.choice(_SERVICES)
        began = asyncio.get_running_loop().time()
        self._cluster.kill(name)
        await asyncio.sleep(self._rng.uniform(0, 1.5))
        self._cluster.spawn_service(name)
        await self._healed("kill", name, began)

    async def _stall(self) -> None:
        name = self._rng.choice((*_SERVICES, *STORES))
        began = asyncio.get_running_loop().time()
        pids = self._cluster.stall(name)
        await asyncio.sleep(self._rng.uniform(0.3, 6))
        self._cluster.go_on(pids)
        await self._healed("stall", name, began)

    async def _kill_store(self) -> None:
        name = self._rng.choice(STORES)
        began = asyncio.get_running_loop().time()
        self._cluster.kill(name)
        await self._healed("kill", name, began)

    async def _healed(self, kind: str, name: str, began: float) -> None:
        await self._cluster.all_ready()
        fault = Fault("kill" if kind == "kill" else "stall", name, began, asyncio.get_running_loop().time())
        self._history.faults.append(fault)
