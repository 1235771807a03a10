"""Asks the system which addresses a stranger's name has, on a few threads that nobody else's work waits for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from shared.fair_executor import FairExecutor, LineFullError

_OF_COUNTRIES: Final = frozenset(
    {
        "ac",
        "co",
        "com",
        "edu",
        "go",
        "gob",
        "gov",
        "gv",
        "ltd",
        "me",
        "mil",
        "ne",
        "net",
        "nom",
        "or",
        "org",
        "plc",
        "sch",
    }
)
"""Under which names are registered in many countries (``co.uk``, ``com.br``, ``or.jp``)."""

LookUp = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port → all addresses that may be connected to, IPv6 without brackets; ``OSError`` where there is none."""

THREADS: Final = 32
PLACES: Final = 256
"""Look-ups that run or wait."""
MOST_OF_A_SITE: Final = 2
"""Look-ups that run for names of one site: its name servers answer as late as they like, and hold so many threads at most."""


class NameLookups:
    """Look-ups by ``getaddrinfo``, so that ``/etc/hosts`` and the search list of a container count.

    The system gives up on name servers that stay silent after some ten seconds and cannot be interrupted meanwhile. So
    a look-up keeps its thread when its caller has given up.
    """

    def __init__(self) -> None:
        """Starts no thread yet."""
        self._executor: Final = FairExecutor(THREADS, PLACES, "names")
        self._turns: Final[dict[str, asyncio.Semaphore]] = {}
        """Of each site that is looked up now."""
        self._waiting: Final[dict[str, int]] = {}

    async def resolve(self, host: str, port: int) -> list[str]:
        """All addresses of a host, in the order in which the system would try them.

        Raises:
            OSError: there is none, nobody knows, or too much is being looked up.
        """
        site = site_of(host)
        turns = self._turns.setdefault(site, asyncio.Semaphore(MOST_OF_A_SITE))
        self._waiting[site] = self._waiting.get(site, 0) + 1
        try:
            await turns.acquire()
        except BaseException:
            self._leave(site)
            raise
        running = asyncio.ensure_future(self._executor.run(site, partial(_addresses_of, host, port)))
        running.add_done_callback(partial(self._done, site, turns))
        try:
            return await asyncio.shield(running)
        except LineFullError:
            raise OSError("too many names are being looked up") from None

    def close(self) -> None:
        """Drops what waits and lets what runs end by itself."""
        self._executor.close()

    def _done(self, site: str, turns: asyncio.Semaphore, running: asyncio.Future[list[str]]) -> None:
        if not running.cancelled():
            running.exception()  # whoever asked may have given up: then nobody else takes it
        turns.release()
        self._leave(site)

    def _leave(self, site: str) -> None:
        self._waiting[site] -= 1
        if not self._waiting[site]:
            del self._waiting[site], self._turns[site]


def site_of(host: str) -> str:
    """The end of a name that most likely has one owner: two labels, or three like ``example.co.uk``."""
    labels = host.lower().removesuffix(".").rsplit(".", 3)[-3:]
    of_country = len(labels[-1]) == len("uk") and labels[-2:][0] in _OF_COUNTRIES
    return ".".join(labels if of_country else labels[-2:])


def _addresses_of(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError("no name of a host") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
