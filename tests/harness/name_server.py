"""A name server of a test's own, on loopback, and who asks it: names lead where the test says, each time anew."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, cast

Zone = dict[str, Callable[[int], Sequence[str]] | Sequence[str]]
"""A name → its addresses, or of how many-th time it is asked for (from 1) its addresses; `=other.example` is an alias."""

_A, _CNAME, _AAAA, _IN = 1, 5, 28, 1
_MOST_ALIASES: Final = 5


class NameServer(asyncio.DatagramProtocol):
    """Answers for A and AAAA out of a table (RFC 1035 §4)."""

    def __init__(self, zone: Zone) -> None:
        """Counts how often each name is asked for, of each type."""
        self.zone = zone
        self.asked: Counter[tuple[str, int]] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps where answers go out."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answers one question."""
        name, after = _name_at(data, 12)
        (kind,) = struct.unpack_from("!H", data, after)
        records = self._records(name, kind)
        header = data[:2] + struct.pack("!HHHHH", 0x8180, 1, len(records), 0, 0)
        self.transport.sendto(header + data[12 : after + 4] + b"".join(records), addr)

    async def look_up(self, host: str, port: int) -> list[str]:
        """What a system's look-up gives that has this name server: all addresses of both families.

        Raises:
            OSError: there is none.
        """
        answers = await asyncio.gather(*(self._ask(host.removesuffix("."), kind) for kind in (_A, _AAAA)))
        found = [address for answer in answers for address in answer]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return found

    async def _ask(self, host: str, kind: int) -> list[str]:
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        class Asking(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                answered.set_result(data)

        server = self.transport.get_extra_info("sockname")
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Asking, remote_addr=server)
        question = (
            struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + _written(host) + struct.pack("!HH", kind, _IN)
        )
        try:
            transport.sendto(question)
            return _addresses_in(await answered)
        finally:
            transport.close()

    def _records(self, name: str, kind: int) -> list[bytes]:
        self.asked[name, kind] += 1
        records = []
        for _ in range(_MOST_ALIASES):
            entry = self.zone.get(name, ())
            values = entry(self.asked[name, kind]) if callable(entry) else entry
            if not values or not values[0].startswith("="):
                records += [
                    _record(name, kind, value) for value in values if (":" in value) == (kind == _AAAA)
                ]
                break
            alias = values[0].removeprefix("=")
            records.append(_record(name, _CNAME, alias))
            name = alias
        return records


@asynccontextmanager
async def serving_names(zone: Zone) -> AsyncIterator[NameServer]:
    """A name server that knows a zone."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(zone), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()


def _record(name: str, kind: int, value: str) -> bytes:
    family = socket.AF_INET6 if kind == _AAAA else socket.AF_INET
    data = _written(value) if kind == _CNAME else socket.inet_pton(family, value)
    return _written(name) + struct.pack("!HHIH", kind, _IN, 0, len(data)) + data


def _written(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def _name_at(message: bytes, place: int) -> tuple[str, int]:
    labels = []
    while length := message[place]:
        labels.append(message[place + 1 : place + 1 + length].decode())
        place += 1 + length
    return ".".join(labels), place + 1


def _addresses_in(message: bytes) -> list[str]:
    _, place = _name_at(message, 12)
    place += 4
    found = []
    for _ in range(struct.unpack_from("!H", message, 6)[0]):
        _, place = _name_at(message, place)
        kind, _, _, length = struct.unpack_from("!HHIH", message, place)
        data, place = message[place + 10 : place + 10 + length], place + 10 + length
        if kind != _CNAME:
            found.append(socket.inet_ntop(socket.AF_INET6 if kind == _AAAA else socket.AF_INET, data))
    return found
