"""Where Latchkey is, and how it is spoken to: one address, one service key, no redirects, no cookies, no proxies."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

log: Final = logging.getLogger("latchkey_sdk")
_INNER_NAMES: Final = (".localhost", ".local", ".internal", ".svc", ".home.arpa")
_AGENT: Final = "latchkey-sdk-python"


@dataclass(frozen=True, slots=True)
class Service:
    """Latchkey as one resource server sees it."""

    url: str
    """Where it answers, without a slash at the end; may have a path."""
    key: str = field(repr=False)
    """A service key with the permission ``introspect``."""

    @classmethod
    def at(cls, url: str, service_key: str) -> Service:
        """Checks what an operator configured.

        Raises:
            ValueError: the address or the key can be neither right nor used safely; the message never quotes the key.
        """
        parts = urlsplit(url.strip())
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"the address of Latchkey must look like https://keys.example.com, not {url!r}")
        if parts.username is not None or parts.password is not None:
            raise ValueError("the address of Latchkey must not hold a password")
        if parts.scheme == "http" and not _is_inner(parts.hostname):
            raise ValueError(f"keys would cross the open network: use https for {parts.hostname}")
        key = service_key.strip()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError("the service key is empty, or holds characters that no key has")
        return cls(url.strip().rstrip("/"), key)

    def open_session(self, seconds: float | None, headers: dict[str, str]) -> ClientSession:
        """Connections of their own; ``seconds`` bounds a whole exchange, ``None`` does not."""
        return ClientSession(
            connector=TCPConnector(limit=0),
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=seconds, sock_connect=seconds),
            headers={
                "Authorization": f"Bearer {self.key}",
                "User-Agent": _AGENT,
                "Accept-Encoding": "identity",
                **headers,
            },
        )


class Complaints:
    """Tells the operator what is wrong, once until it is well again."""

    def __init__(self) -> None:
        """All is well."""
        self._told = ""

    def tell(self, what: str, *, level: int = logging.ERROR, trace: bool = False) -> None:
        """Logs it unless it was the last thing told; with ``trace`` where the present exception came from."""
        if what != self._told:
            self._told = what
            log.log(level, "%s", what, exc_info=trace)

    def settle(self) -> None:
        """All is well again."""
        self._told = ""


def _is_inner(host: str) -> bool:
    """Whether a host is this machine or in a network of the operator's own: a name without a dot, as containers have."""
    try:
        address = ip_address(host)
    except ValueError:
        name = host.rstrip(".").lower()
        return "." not in name or name.endswith(_INNER_NAMES)
    return address.is_loopback or address.is_private
