"""A Redis Cluster of three nodes without replicas, for one test."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from deploy.embedded.account import programs_for
from deploy.embedded.ports import free_port
from shared.bus import CoalescingRedis
from shared.errors import StoreUnavailable
from tests.integration.bus.conftest import SERVER_VARIABLE, until

NODES: Final = 3
SLOTS: Final = 16_384


class Node:
    """One server of a cluster."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self._launch()

    def _launch(self) -> None:
        self.port = free_port()
        # The nodes talk among themselves on a second port. Left to itself that is the first plus 10000: one of those
        # that the kernel gives to clients, and that stay taken for a minute after each of them.
        self.bus_port = free_port(other_than=self.port)
        program = os.environ.get(SERVER_VARIABLE) or programs_for(None).valkey
        options = {
            "port": self.port,
            "cluster-port": self.bus_port,
            "bind": "127.0.0.1",
            "dir": self._folder,
            "logfile": self._folder / "server.log",
            "appendonly": "yes",
            "save": "",
            "cluster-enabled": "yes",
            "cluster-node-timeout": 10_000,  # a node that the machine holds up for seconds is not away
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self.process = subprocess.Popen(
            [program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.redis = CoalescingRedis(f"redis://127.0.0.1:{self.port}")

    async def answers(self) -> bool:
        """Whether it is up. Where somebody took one of its ports in that moment, it is begun again on others."""
        if self.process.poll() is not None:
            await self.redis.close()
            self._launch()
        with suppress(StoreUnavailable):
            told: bytes = await self.redis.execute("INFO", "server")
            return f"process_id:{self.process.pid}\r\n".encode() in told  # it, and not whoever has its port
        return False

    async def is_whole(self) -> bool:
        """Whether it believes the cluster to be complete."""
        info: bytes = await self.redis.execute("CLUSTER", "INFO")
        return b"cluster_state:ok" in info and f"cluster_known_nodes:{NODES}".encode() in info

    async def id(self) -> str:
        """Its name in the cluster."""
        answer: bytes = await self.redis.execute("CLUSTER", "MYID")
        return answer.decode()


@asynccontextmanager
async def running_cluster(folder: Path) -> AsyncIterator[list[Node]]:
    """Three nodes that share all slots in three equal ranges."""
    nodes = [Node(folder / str(number)) for number in range(NODES)]
    try:
        for number, node in enumerate(nodes):
            await until(node.answers, 60)
            first, last = number * SLOTS // NODES, (number + 1) * SLOTS // NODES - 1
            await node.redis.execute("CLUSTER", "ADDSLOTSRANGE", first, last)
            await node.redis.execute("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            await node.redis.execute("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, nodes[0].bus_port)
        for node in nodes:
            await until(node.is_whole, 60)
        yield nodes
    finally:
        for node in nodes:
            await node.redis.close()
            node.process.kill()
        await asyncio.to_thread(lambda: [node.process.wait() for node in nodes])


def url_of(nodes: list[Node]) -> str:
    """What a service is configured with."""
    return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
