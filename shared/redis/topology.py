"""Which server holds a key: the only one, the primary that sentinels name, or a node of a Redis Cluster."""

from __future__ import annotations

import asyncio
import binascii
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, Final

from shared.errors import StoreUnavailable
from shared.redis.connection import Argument, RedisConnection, connect
from shared.redis.errors import CommandError
from shared.redis.sentinel import PrimaryWatch, SentinelQuorum
from shared.redis.url import RedisAddress

SLOTS: Final = 16_384
LEAST_AGE_SECONDS: Final = 0.2
"""What was told later than that ago was not wrong: what it names is on its way."""

Key = str | bytes | None
"""``None`` where any server will do."""

_KEYLESS: Final = frozenset(
    {"PING", "TIME", "INFO", "CLIENT", "CONFIG", "ACL", "SCRIPT", "DBSIZE", "FLUSHALL"}
)
_SECOND: Final = frozenset({"XGROUP", "XINFO", "OBJECT", "MEMORY"})
_SCRIPTS: Final = frozenset({"EVAL", "EVALSHA"})


class Topology(ABC):
    """Knows where keys live."""

    questions: tuple[tuple[Argument, ...], ...] = ()
    """What is asked on every new connection to a server that it named."""

    @abstractmethod
    async def locate(self, key: Key) -> RedisAddress:
        """The server that holds a key. Raises ``StoreUnavailable`` where nobody can tell."""

    async def primaries(self) -> Sequence[RedisAddress]:
        """Every server that holds keys. Raises ``StoreUnavailable`` where nobody can tell."""
        return [await self.locate(None)]

    @abstractmethod
    def suspect(self) -> None:
        """What was told is wrong, or a server does not answer: ask again before the next answer."""

    def answered(self, replies: Sequence[Any]) -> None:  # noqa: B027 - most have no questions
        """Reads the replies to ``questions``. Raises ``StoreUnavailable`` where it is the wrong server."""

    def opened(self, address: RedisAddress, connection: RedisConnection) -> None:  # noqa: B027 - most need not know
        """A connection was made to the server that it named."""


class OneServer(Topology):
    """All keys are on one server."""

    def __init__(self, address: RedisAddress) -> None:
        """That one."""
        self._address = address

    async def locate(self, _key: Key) -> RedisAddress:
        """Always the same."""
        return self._address

    def suspect(self) -> None:
        """There is nobody else to ask."""


class _Learned(Topology):
    """What others tell, and are asked for again whenever it turns out to be wrong; by one caller for all."""

    def __init__(self) -> None:
        self._stale = True
        self._asked = float("-inf")
        self._asking = asyncio.Lock()

    def suspect(self) -> None:
        """It may be old."""
        self._stale = True

    async def _refresh(self, *, known: bool) -> None:
        """Asks, unless what is ``known`` may be true or was told a moment ago."""
        if not self._stale or (known and monotonic() - self._asked <= LEAST_AGE_SECONDS):
            return
        before = self._asked
        async with self._asking:
            if self._asked != before:
                return  # somebody else has asked meanwhile
            try:
                self._stale = not await self._ask()
            finally:
                self._asked = monotonic()

    @abstractmethod
    async def _ask(self) -> bool:
        """Learns it; whether anybody told."""


class Sentinels(_Learned):
    """The primary that the sentinels name. A server that says it is a replica is not it, whoever named it."""

    questions = (("ROLE",),)

    def __init__(self, sentinels: Sequence[RedisAddress]) -> None:
        """``sentinels``: all that are known; most of those that answer decide."""
        super().__init__()
        self._quorum = SentinelQuorum(sentinels)
        self._watch = PrimaryWatch(sentinels)
        self._primary: RedisAddress | None = None

    async def locate(self, _key: Key) -> RedisAddress:
        """The primary; the last one known while no sentinel answers.

        Raises:
            StoreUnavailable: no sentinel has ever named one.
        """
        await self._refresh(known=self._primary is not None)
        if self._primary is None:
            raise StoreUnavailable("redis", self._quorum.problem)
        return self._primary

    def answered(self, replies: Sequence[Any]) -> None:
        """Whether it takes writes; a user who may not ask is trusting.

        Raises:
            StoreUnavailable: it is a replica: the sentinels are behind, or at it.
        """
        (role,) = replies
        if isinstance(role, list) and role[0] != b"master":
            raise StoreUnavailable("redis", "the server that the sentinels name is a replica")

    def opened(self, address: RedisAddress, connection: RedisConnection) -> None:
        """The connection is ended when the sentinels name another server."""
        self._watch.watch(address, connection)

    async def _ask(self) -> bool:
        votes = await self._quorum.votes()
        self._quorum.close()
        if votes:
            self._primary = votes.most_common(1)[0][0]
        return bool(votes)


class Cluster(_Learned):
    """The slots of a Redis Cluster, as its nodes tell them; asked again whenever they turn out to have moved."""

    def __init__(self, seeds: Sequence[RedisAddress]) -> None:
        """``seeds``: some of the nodes; the others are learned from them."""
        super().__init__()
        self._seeds = tuple(seeds)
        self._starts: list[tuple[int, int, RedisAddress]] = []
        self._problem = "no nodes are known"

    async def locate(self, key: Key) -> RedisAddress:
        """The primary of the key's slot.

        Raises:
            StoreUnavailable: no node answers, or nobody serves the slot.
        """
        await self._refresh(known=bool(self._starts))
        if not self._starts:
            raise StoreUnavailable("redis", self._problem)
        slot = 0 if key is None else slot_of(key)
        for first, last, address in self._starts:
            if first <= slot <= last:
                return address
        raise StoreUnavailable("redis", f"no node of the cluster serves slot {slot}")

    async def primaries(self) -> Sequence[RedisAddress]:
        """The primaries of all slots, each once."""
        await self.locate(None)
        return list(dict.fromkeys(address for _, _, address in self._starts))

    def near(self, host: str, port: int) -> RedisAddress:
        """A node by its name, with the credentials of the seeds."""
        return replace(self._seeds[0], host=host, port=port)

    async def _ask(self) -> bool:
        for address in dict.fromkeys([*(known for _, _, known in self._starts), *self._seeds]):
            try:
                self._starts = await self._slots_by(address)
            except StoreUnavailable as error:
                self._problem = error.reason
            else:
                return True
        return False

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
    if addresses[0].primary is not None:
        return Sentinels(addresses)
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
