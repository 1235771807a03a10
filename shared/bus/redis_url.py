"""Addresses of Redis, taken apart: ``redis://[user:password@]host:port/db``, ``rediss://``, ``unix://``.

A Redis Cluster is ``redis+cluster://[user:password@]host:port[,host:port…]`` (or ``rediss+cluster://``): some of its
nodes; the others are learned from them.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

_PORT = 6379


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

    def login(self) -> tuple[str, ...] | None:
        """The ``AUTH`` command, where a password is given."""
        if self.password is None:
            return None
        return ("AUTH", self.password) if not self.username else ("AUTH", self.username, self.password)


def parse_redis_url(url: str) -> tuple[RedisAddress, ...]:
    """Takes a URL apart: one address, or several of a cluster.

    Raises:
        ValueError: it is no such URL. The message does not repeat it: it may hold a password.
    """
    netloc = urlsplit(url).netloc
    login, at, hosts = netloc.rpartition("@")
    each = [url.replace(netloc, f"{login}{at}{host}", 1) if netloc else url for host in hosts.split(",")]
    addresses = tuple(_parse_one(one) for one in each)
    if len(addresses) > 1 and not addresses[0].cluster:
        raise ValueError("a Redis URL names several hosts only for a cluster: redis+cluster://")
    return addresses


def _parse_one(url: str) -> RedisAddress:
    parts = urlsplit(url)
    scheme, _, variant = parts.scheme.partition("+")
    if scheme not in ("redis", "rediss", "unix") or variant not in ("", "cluster"):
        raise ValueError("a Redis URL starts with redis://, rediss:// or unix://")
    username = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password is not None else None
    if scheme == "unix":
        database = parse_qs(parts.query).get("db", ["0"])[0]
        return RedisAddress(
            path=unquote(parts.path), database=_number(database), username=username, password=password
        )
    return RedisAddress(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or _PORT,
        database=_number(parts.path.strip("/") or "0"),
        username=username,
        password=password,
        tls=ssl.create_default_context() if scheme == "rediss" else None,
        cluster=variant == "cluster",
    )


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("the path of a Redis URL is the number of a database")
    return int(text)
