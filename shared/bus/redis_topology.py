"""Which server holds a key: the only one, or a node of a Redis Cluster."""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, Final, Protocol

from shared.bus.errors import CommandError
from shared.bus.redis_connection import Argument, connect
from shared.bus.redis_url import RedisAddress
from shared.errors import StoreUnavailable

SLOTS: Final = 16_384
LEAST_AGE_SECONDS: Final = 0.2
"""A map that is younger was not wrong: what it names is on its way."""

Key = str | bytes | None
"""``None`` where any server will do."""

_KEYLESS: Final = frozenset(
    {"PING", "TIME", "INFO", "CLIENT", "CONFIG", "ACL", "SCRIPT", "DBSIZE", "FLUSHALL"}
)
_SECOND: Final = frozenset({"XGROUP", "XINFO", "OBJECT", "MEMORY"})
_SCRIPTS: Final = frozenset({"EVAL", "EVALSHA"})


class Topology(Protocol):
    """Knows where keys live."""

    async def locate(self, key: Key) -> RedisAddress:
        """The server that holds a key. Raises ``StoreUnavailable`` where nobody can tell."""
        ...

    def suspect(self) -> None:
        """What was told is wrong, or a server does not answer: ask again before the next answer."""
        ...


class OneServer:
    """All keys are on one server."""

    def __init__(self, address: RedisAddress) -> None:
        """That one."""
        self._address = address

    async def locate(self, _key: Key) -> RedisAddress:
        """Always the same."""
        return self._address

    def suspect(self) -> None:
        """There is nobody else to ask."""


class Cluster:
    """The slots of a Redis Cluster, as its nodes tell them; asked again whenever they turn out to have moved."""

    def __init__(self, seeds: Sequence[RedisAddress]) -> None:
        """``seeds``: some of the nodes; the others are learned from them."""
        self._seeds = tuple(seeds)
        self._starts: list[tuple[int, int, RedisAddress]] = []
        self._stale = True
        self._asked = float("-inf")
        self._asking = asyncio.Lock()

    async def locate(self, key: Key) -> RedisAddress:
        """The primary of the key's slot.

        Raises:
            StoreUnavailable: no node answers, or nobody serves the slot.
        """
        if self._stale and (not self._starts or monotonic() - self._asked > LEAST_AGE_SECONDS):
            await self._ask()
        slot = 0 if key is None else slot_of(key)
        for first, last, address in self._starts:
            if first <= slot <= last:
                return address
        raise StoreUnavailable("redis", f"no node of the cluster serves slot {slot}")

    def suspect(self) -> None:
        """The map may be old."""
        self._stale = True

    def near(self, host: str, port: int) -> RedisAddress:
        """A node by its name, with the credentials of the seeds."""
        return replace(self._seeds[0], host=host, port=port)

    async def _ask(self) -> None:
        before = self._asked
        async with self._asking:
            if self._asked != before:
                return  # somebody else has asked meanwhile
            problem = "no nodes are known"
            for address in dict.fromkeys([*(known for _, _, known in self._starts), *self._seeds]):
                try:
                    self._starts = await self._slots_by(address)
                except StoreUnavailable as error:
                    problem = error.reason
                else:
                    self._stale = False
                    break
            self._asked = monotonic()
            if not self._starts:
                raise StoreUnavailable("redis", problem)

    async def _slots_by(self, address: RedisAddress) -> list[tuple[int, int, RedisAddress]]:
        question = (("CLUSTER", "SLOTS"),)
        connection, (answer,) = await connect(
            address, client_name="latchkey-topology", patience=1, greet=question
        )
        connection.abort("answered")
        if isinstance(answer, CommandError) or not answer:
            raise StoreUnavailable("redis", f"not a working cluster: {answer}")
        return [self._range(row, address) for row in answer]

    def _range(self, row: list[Any], asked: RedisAddress) -> tuple[int, int, RedisAddress]:
        host: bytes | None = row[2][0]
        return int(row[0]), int(row[1]), self.near(host.decode() if host else asked.host, int(row[2][1]))


def topology_of(addresses: Sequence[RedisAddress]) -> Topology:
    """What a URL's addresses mean."""
    return Cluster(addresses) if addresses[0].cluster else OneServer(addresses[0])


def slot_of(key: str | bytes) -> int:
    """CRC16 of the hash tag (what stands between the first braces, if anything does), modulo 16384."""
    name = key.encode() if isinstance(key, str) else key
    start = name.find(b"{")
    if start >= 0:
        end = name.find(b"}", start + 1)
        if end > start + 1:
            name = name[start + 1 : end]
    return binascii.crc_hqx(name, 0) % SLOTS


def key_of(command: Sequence[Argument]) -> Key:
    """The key that decides where a command goes."""
    word = str(command[0]).upper()
    if word in _KEYLESS:
        return None
    place = 1
    if word in _SCRIPTS:
        place = 3 if int(command[2]) else 0
    elif word in _SECOND:
        place = 2
    elif word in ("XREAD", "XREADGROUP"):
        place = _after(command, "STREAMS")
    key = command[place] if place else None
    return str(key) if isinstance(key, int) else key


def _after(command: Iterable[Argument], word: str) -> int:
    return list(command).index(word) + 1
