"""Calls addresses that users gave (webhooks, documents of clients, proofs), so that nothing inner is reached and nobody holds us up.

What may be called is told by ``shared.web.public_address`` (interface §5, AC-47); what is connected to is the very
address that was checked.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared.settings import Settings
from shared.version import VERSION
from shared.web.fetch_errors import AddressRefusedError, FetchError, FetchFailedError
from shared.web.name_lookups import LookUp, NameLookups
from shared.web.public_address import fault_of_address

if TYPE_CHECKING:
    import aiohttp

__all__ = ["AddressRefusedError", "FetchError", "FetchFailedError", "Fetched", "GuardedFetcher"]

_BUFFER: Final = 64 * 1024
_MOST_HEADERS: Final = 64
_LONGEST_HEADER: Final = 8 * 1024
_OWN_HEADERS: Final[Mapping[str, str]] = {"Accept-Encoding": "identity", "User-Agent": f"Latchkey/{VERSION}"}


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer. All of it is a stranger's: show it to nobody as ours."""

    status: int
    headers: Mapping[str, str]
    """By name, in whatever case; of several the first. Each is a text that every store takes."""
    body: bytes
    """As sent, not decompressed; cut where it was longer than what was asked for."""


class GuardedFetcher:
    """Asks one address at a time for one answer; nothing of one fetch is kept for another: no connection, cookie or name.

    Redirects are answers like any other. Proxies of the environment (``HTTPS_PROXY``) do not count;
    ``LATCHKEY_OUTGOING_PROXY`` does: then all fetches go through it and it alone resolves names, and what is refused here is
    what the text of the URL tells. TLS trusts the system's store, or ``SSL_CERT_FILE``.

    How many fetches run at once is for the caller to bound.
    """

    def __init__(self, settings: Settings, look_up: LookUp | None = None) -> None:
        """Connects to nothing yet.

        Args:
            settings: ``private_targets`` and ``outgoing_proxy`` count.
            look_up: how names are looked up; by the system where it is not given.
        """
        self._private_targets: Final = settings.private_targets
        self._proxy: Final = settings.outgoing_proxy
        self._names: Final = NameLookups()
        self._look_up: Final = look_up or self._names.resolve
        self._tls: ssl.SSLContext | None = None

    async def fetch(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        seconds: float,
        most_bytes: int,
    ) -> Fetched:
        """The answer of an address.

        Args:
            method: of HTTP, in capitals.
            url: as a user gave it, unchecked; it is asked for byte for byte.
            headers: sent along; ``User-Agent`` may be among them.
            body: sent along.
            seconds: for all of it, from looking up the name to the answer's last byte.
            most_bytes: of the body that are read; with 0 the answer is there as soon as its headers are.

        Raises:
            AddressRefusedError: it is no address that we call; nothing was sent.
            FetchFailedError: there was no whole answer in time.
        """
        fault = fault_of_address(url, private_targets=self._private_targets)
        if fault is not None:
            raise AddressRefusedError(fault)
        with _told_in_a_word(by_proxy=self._proxy is not None):
            async with asyncio.timeout(seconds):
                return await self._ask(method, url, headers, body, most_bytes)

    async def close(self) -> None:
        """Drops the look-ups that wait. Whoever fetches is to have ended before."""
        self._names.close()

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, most_bytes: int
    ) -> Fetched:
        import aiohttp  # read only where something is fetched: the command line's processes need none of it
        from multidict import CIMultiDict, CIMultiDictProxy
        from yarl import URL

        from shared.web.guarded_answer import GuardedAnswer

        async with (
            self._session() as session,
            session.request(
                method,
                URL(url, encoded=True),
                headers=headers,
                data=body,
                proxy=self._proxy,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            ) as answer,
        ):
            assert isinstance(answer, GuardedAnswer), "it is the session's response_class"
            try:
                content = await _read(answer.content, most_bytes)
            finally:
                answer.end()
        found = CIMultiDict((name, _plain(value)) for name, value in answer.headers.items())
        return Fetched(answer.status, CIMultiDictProxy(found), content)

    def _session(self) -> aiohttp.ClientSession:
        import aiohttp

        from shared.web.guarded_answer import GuardedAnswer
        from shared.web.guarded_connections import connector_by_proxy, connector_to_public

        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        if self._proxy is None:
            connector = connector_to_public(self._look_up, self._tls, private_targets=self._private_targets)
        else:
            connector = connector_by_proxy(self._look_up, self._tls)
        return aiohttp.ClientSession(
            connector=connector,
            headers=_OWN_HEADERS,
            response_class=GuardedAnswer,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            read_bufsize=_BUFFER,
            max_line_size=_LONGEST_HEADER,
            max_field_size=_LONGEST_HEADER,
            max_headers=_MOST_HEADERS,
        )


async def _read(content: aiohttp.StreamReader, most_bytes: int) -> bytes:
    found = bytearray()
    while len(found) < most_bytes and not content.at_eof():
        found += await content.read(most_bytes - len(found))
    return bytes(found)


def _plain(value: str) -> str:
    """A header's value without lone surrogates, which aiohttp makes of bytes that are no UTF-8."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@contextmanager
def _told_in_a_word(*, by_proxy: bool) -> Iterator[None]:
    """Whatever goes wrong on the way to an answer is one of ours."""
    import aiohttp

    try:
        yield
    except TimeoutError:
        raise FetchFailedError("timeout") from None
    except (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError):
        raise FetchFailedError("proxy") from None
    except aiohttp.ClientConnectorDNSError:
        raise FetchFailedError("proxy" if by_proxy else "name") from None
    except (aiohttp.ClientSSLError, ssl.SSLError):
        raise FetchFailedError("tls") from None
    except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError):
        raise FetchFailedError("answer") from None
    except (aiohttp.ClientError, OSError):
        raise FetchFailedError("connection") from None
