"""Look-ups of strangers' names: name servers that stay silent hold up their own names alone."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from shared.web.name_lookups import MOST_OF_A_SITE, NameLookups, site_of


class Names:
    """A system's look-up in which names of one site are never answered until `answered` is set."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.running = 0
        self.most = 0
        self._lock = threading.Lock()

    def getaddrinfo(self, host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        """As `socket` has it."""
        if host.endswith("slow.example"):
            with self._lock:
                self.running += 1
                self.most = max(self.most, self.running)
            self.answered.wait(30)
            with self._lock:
                self.running -= 1
        if host.startswith("nowhere"):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(0, 0, 0, "", (address, port)) for address in ("192.0.2.1", "192.0.2.1", "2001:db8::1")]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    """In place of the system's."""
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    yield names
    names.answered.set()


async def test_every_address_comes_once(names: Names) -> None:
    """In the system's order, of both families."""
    lookups = NameLookups()
    assert await lookups.resolve("a.example", 443) == ["192.0.2.1", "2001:db8::1"]
    with pytest.raises(OSError, match="no such name"):
        await lookups.resolve("nowhere.example", 443)
    lookups.close()


async def test_silent_name_servers_hold_up_their_own_names_alone(names: Names) -> None:
    """Also when those who asked give up, one after the other: a thread cannot be called back."""
    lookups = NameLookups()
    for number in range(100):
        asking = asyncio.create_task(lookups.resolve(f"{number}.slow.example", 443))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    waiting = [asyncio.create_task(lookups.resolve(f"{number}.slow.example", 443)) for number in range(100)]
    assert await lookups.resolve("quick.example", 443)
    assert names.most <= MOST_OF_A_SITE
    names.answered.set()
    assert all(await asyncio.gather(*waiting))
    assert names.most == MOST_OF_A_SITE
    lookups.close()


async def test_nothing_is_remembered_of_a_site(names: Names) -> None:
    """Once the last look-up of it has ended."""
    lookups = NameLookups()
    await asyncio.gather(*(lookups.resolve(f"{number}.example", 443) for number in range(50)))
    await asyncio.sleep(0)
    assert not lookups._turns
    assert not lookups._waiting
    lookups.close()


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("a.b.Example.com.", "example.com"),
        ("example.com", "example.com"),
        ("a.b.example.co.uk", "example.co.uk"),
        ("redis", "redis"),
        ("a.b.c.io", "c.io"),
        ("a.b.com.br", "b.com.br"),
        ("a.b.cö", "b.cö"),
    ],
)
def test_a_site_is_what_most_likely_has_one_owner(host: str, site: str) -> None:
    """Two labels; three where a country has a second label of its own. Else a name in .io would have as many sites as it likes."""
    assert site_of(host) == site
