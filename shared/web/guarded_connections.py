"""Connections of aiohttp's client to addresses that were checked."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ssl import SSLContext
from typing import TYPE_CHECKING, Final

from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from shared.web.fetch_errors import AddressRefusedError
from shared.web.name_lookups import LookUp
from shared.web.public_address import is_public

if TYPE_CHECKING:
    from aiohttp import AddrInfoType

_RECEIVED_AT_ONCE: Final = 32 * 1024
"""Bytes that the system holds for us: many small chunks in one large piece would hold up the event loop."""


MOST_ADDRESSES: Final = 8
"""Of a name, that are tried one after the other: a name server may give thousands, and each costs somebody a connection."""


class AnyAddress(AbstractResolver):
    """Resolves without a check: of the operator's own proxy."""

    def __init__(self, look_up: LookUp) -> None:
        """Asks by ``look_up``."""
        self._look_up: Final = look_up

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - aiohttp's signature
    ) -> list[ResolveResult]:
        """All addresses of a host, of both families."""
        addresses = await self._look_up(host, port)
        if not addresses:
            raise OSError("the name has no address")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Holds nothing."""


class PublicAddresses(AnyAddress):
    """Resolves to addresses that were checked; one inner address among several condemns the name."""

    def __init__(self, look_up: LookUp, *, private_targets: bool) -> None:
        """Asks by ``look_up``; ``private_targets`` as ``is_public`` has it."""
        super().__init__(look_up)
        self._private_targets: Final = private_targets

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The first addresses of a host, after a look at all of them.

        Raises:
            AddressRefusedError: one of them is not public.
        """
        found = await super().resolve(host, port, family)
        if not all(is_public(each["host"], private_targets=self._private_targets) for each in found):
            raise AddressRefusedError("the name leads to an address that is not public")
        return found[:MOST_ADDRESSES]


def connector_to_public(look_up: LookUp, tls: SSLContext, *, private_targets: bool) -> TCPConnector:
    """Connects to public addresses alone, whatever aiohttp makes of the URL: each socket looks at where it will lead."""

    def open_socket(target: AddrInfoType) -> socket.socket:
        if not is_public(str(target[4][0]), private_targets=private_targets):
            raise PermissionError("not a public address")
        return _open_socket(target)

    return _connector(PublicAddresses(look_up, private_targets=private_targets), tls, open_socket)


def connector_by_proxy(look_up: LookUp, tls: SSLContext) -> TCPConnector:
    """Connects to the operator's proxy, which looks up the names of all others."""
    return _connector(AnyAddress(look_up), tls, _open_socket)


def _connector(
    resolver: AbstractResolver, tls: SSLContext, open_socket: Callable[[AddrInfoType], socket.socket]
) -> TCPConnector:
    """For one answer: no connection is kept, no name remembered."""
    return TCPConnector(
        resolver=resolver, ssl=tls, socket_factory=open_socket, force_close=True, use_dns_cache=False
    )


def _open_socket(target: AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = target
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED_AT_ONCE)
    return opened
