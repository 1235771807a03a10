"""Addresses of Redis, taken apart: ``redis://[user:password@]host:port/db``, ``rediss://``, ``unix://``.

A Redis Cluster is ``redis+cluster://[user:password@]host:port[,host:port…]`` (or ``rediss+cluster://``): some of its
nodes; the others are learned from them. A primary that Redis Sentinel watches over is
``redis+sentinel://[user:password@]host:port[,host:port…]/name[/db]`` (or ``rediss+sentinel://``): the sentinels, and the
name by which they know it. The login is that of Redis; that of the sentinels, where they want one, is
``?sentinel_username=…&sentinel_password=…``.
"""

from __future__ import annotations

import ssl
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cache
from urllib.parse import SplitResult, unquote, urlsplit

_PORT = 6379
_SENTINEL_PORT = 26379
_SCHEMES = frozenset({"unix"}) | {
    tls + variant for tls in ("redis", "rediss") for variant in ("", "+cluster", "+sentinel")
}
_PARAMETERS = {"unix": ("db",), "sentinel": ("sentinel_username", "sentinel_password")}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where and as whom to connect; ``path`` instead of host and port for a Unix socket."""

    host: str = "127.0.0.1"
    port: int = _PORT
    path: str | None = None
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False, compare=False)
    cluster: bool = False
    """The server is a node of a Redis Cluster (``redis+cluster://``, ``rediss+cluster://``)."""
    primary: str | None = None
    """The server is a sentinel (``redis+sentinel://``, ``rediss+sentinel://``) that knows a primary by this name."""
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)

    def sentinel(self) -> RedisAddress:
        """Where and as whom to ask the sentinel itself."""
        return replace(self, database=0, username=self.sentinel_username, password=self.sentinel_password)

    def named(self, host: str, port: int) -> RedisAddress:
        """The server of that name, with the same login."""
        return replace(
            self, host=host, port=port, primary=None, sentinel_username=None, sentinel_password=None
        )

    def login(self) -> tuple[str, ...] | None:
        """The ``AUTH`` command, where a password is given."""
        if self.password is None:
            return None
        return ("AUTH", self.password) if not self.username else ("AUTH", self.username, self.password)


def parse_redis_url(url: str) -> tuple[RedisAddress, ...]:
    """Takes a URL apart: one address, or several of a cluster or of sentinels.

    Raises:
        ValueError: it is no such URL. The message does not repeat it: it may hold a password.
    """
    try:
        netloc = urlsplit(url).netloc
    except ValueError:
        raise ValueError("the brackets in a Redis URL hold an IPv6 address") from None
    login, at, hosts = netloc.rpartition("@")
    each = [url.replace(netloc, f"{login}{at}{host}", 1) if netloc else url for host in hosts.split(",")]
    addresses = tuple(_parse_one(one) for one in each)
    if len(addresses) > 1 and not addresses[0].cluster and addresses[0].primary is None:
        raise ValueError(
            "a Redis URL names several hosts only for a cluster (redis+cluster://) or sentinels (redis+sentinel://)"
        )
    return addresses


def _parse_one(url: str) -> RedisAddress:
    start = url.partition("://")[0].lower()  # urlsplit would find a scheme in "redis:6379" as well
    if start not in _SCHEMES:
        raise ValueError(
            "a Redis URL starts with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"
        )
    scheme, _, variant = start.partition("+")
    parts = urlsplit(url)
    username = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password is not None else None
    given = _parameters(parts.query, _PARAMETERS.get(variant or scheme, ()))
    if scheme == "unix":
        database = _number(given.get("db", "0"))
        return RedisAddress(path=unquote(parts.path), database=database, username=username, password=password)
    path = parts.path.strip("/")
    address = RedisAddress(
        host=parts.hostname or ("" if variant == "sentinel" else "127.0.0.1"),
        port=_port(parts) or (_SENTINEL_PORT if variant == "sentinel" else _PORT),
        username=username,
        password=password,
        tls=_checked_tls() if scheme == "rediss" else None,
        cluster=variant == "cluster",
    )
    if variant == "sentinel":
        return _watched(address, path, given)
    return replace(address, database=_number(path or "0"))


@cache
def _checked_tls() -> ssl.SSLContext:
    """One for all hosts, and for the settings, which are parsed before the bus parses: it reads every authority."""
    return ssl.create_default_context()


def _watched(address: RedisAddress, path: str, given: dict[str, str]) -> RedisAddress:
    name, _, number = path.partition("/")
    if not address.host or not name:
        raise ValueError(
            "a Redis URL of sentinels names one, and ends in the name of the primary: redis+sentinel://host:port/name"
        )
    return replace(
        address,
        database=_number(number or "0"),
        primary=unquote(name),
        sentinel_username=given.get("sentinel_username"),
        sentinel_password=given.get("sentinel_password"),
    )


def _parameters(query: str, known: Collection[str]) -> dict[str, str]:
    """Percent-decoded like the rest of the URL: a ``+``, frequent in passwords, is no space here."""
    pairs = [part.partition("=") for part in query.split("&") if part]
    if not {name for name, _, _ in pairs} <= set(known):
        takes = ("only " + " and ".join(known)) if known else "no parameters"
        raise ValueError(f"this kind of Redis URL takes {takes} after its ?")
    return {name: unquote(value) for name, _, value in pairs if value}


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:  # its words hold what stands there: part of a password that has an unescaped slash
        raise ValueError(
            "the port of a Redis URL is a number from 1 to 65535, and a / in a password is %2F"
        ) from None


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("the path of a Redis URL is the number of a database")
    return int(text)
