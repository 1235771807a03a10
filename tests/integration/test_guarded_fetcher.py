"""What is fetched for users reaches no inner address, whatever names, answers and environments say (AC-47)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.settings import Settings
from shared.web import guarded_connections, guarded_fetcher
from shared.web.guarded_fetcher import AddressRefusedError, Fetched, FetchFailedError, GuardedFetcher
from tests.harness.outside import GOOD, INNER, Outside

MAPPED = f"::ffff:{INNER}"
"""Shut whatever the operator opens, and here it leads to the listener that nobody may reach."""


async def get(fetcher: GuardedFetcher, url: str, **headers: str) -> Fetched:
    """Fetches with ordinary bounds."""
    return await fetcher.fetch("GET", url, headers, seconds=10, most_bytes=1_000)


async def reaches_inner(outside: Outside, address: str) -> bool:
    """Whether a connection to this address arrives where none may; not counted."""
    before = outside.inner.connections
    try:
        _, writer = await asyncio.open_connection(address, outside.port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    arrived = outside.inner.connections > before
    outside.inner.connections = before
    return arrived


async def test_an_answer_comes_as_it_was_sent(outside: Outside) -> None:
    """What is asked goes out byte for byte; a name is looked up once."""
    fetcher = outside.fetcher()
    url = f"https://{GOOD}:{outside.port}/a/../b%2f?x=%zz&y='"
    answer = await fetcher.fetch(
        "POST", url, {"webhook-id": "m1", "user-agent": "X"}, b"{}", seconds=10, most_bytes=1_000
    )
    assert (answer.status, answer.body, answer.headers["content-LENGTH"]) == (200, b"hello", "5")
    head, _, body = outside.receiver.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /a/../b%2f?x=%zz&y=' HTTP/1.1"
    assert {f"Host: {GOOD}:{outside.port}", "webhook-id: m1", "user-agent: X", "Connection: close"} <= {
        *lines
    }
    assert body == b"{}"
    assert set(outside.names.asked.values()) == {1}


ANY = "0.0.0.0"  # noqa: S104 - nothing is bound to it: it leads to this very host
CONDEMNED: list[list[str]] = [
    [MAPPED],
    ["127.0.0.1", MAPPED],
    [MAPPED, "127.0.0.1"],
    ["127.0.0.1", "127.0.0.3", "127.0.0.4", ANY],
    [ANY],
    ["127.0.0.1", "169.254.169.254"],
    ["127.0.0.1", "fe80::1"],
    ["127.0.0.1", "64:ff9b::7f00:2"],
    ["127.0.0.1", "::127.0.0.2"],
    ["127.0.0.1", "2002:7f00:2::"],
    ["127.0.0.1", "100.100.100.200"],
    [f"={GOOD}.inner"],
    ["=alias.example"],
]


@pytest.mark.parametrize("addresses", CONDEMNED, ids=" ".join)
async def test_ac_47_one_inner_address_condemns_a_name(outside: Outside, addresses: list[str]) -> None:
    """Alone, first or last among good ones, in IPv6, behind aliases: nothing goes out, not even to the good ones."""
    fetcher = outside.fetcher()
    outside.names.zone |= {
        GOOD: addresses,
        f"{GOOD}.inner": ["127.0.0.1", MAPPED],
        "alias.example": [f"={GOOD}.inner"],
    }
    with pytest.raises(AddressRefusedError):
        await get(fetcher, outside.url)
    assert (outside.inner.connections, outside.receiver.connections) == (0, 0)


async def test_ac_47_those_addresses_would_have_led_inside(outside: Outside) -> None:
    """The listener that counts nothing above does count."""
    assert await reaches_inner(outside, MAPPED)
    assert await reaches_inner(outside, INNER)


@pytest.mark.parametrize(
    "url",
    [
        f"https://{INNER}:%d/",
        f"https://[{MAPPED}]:%d/",
        "https://2130706434:%d/",
        "https://0x7f000002:%d/",
        "https://0177.0.0.2:%d/",
        "https://127.2:%d/",
        "https://127.0.0.2.:%d/",
        "https://localhost:%d/",
        f"https://{GOOD}@{INNER}:%d/",
        f"https://{INNER}:%d\\@{GOOD}/",
        f"http://{INNER}:%d/",
        f"https://{GOOD}:%d/",
    ],
)
async def test_ac_47_without_leave_nothing_inner_is_reached(outside: Outside, url: str) -> None:
    """As it is by default: no literal, no odd spelling, and no name that leads to loopback."""
    fetcher = GuardedFetcher(Settings(), outside.names.look_up)
    with pytest.raises(AddressRefusedError):
        await get(fetcher, url % outside.port)
    assert (outside.inner.connections, outside.receiver.connections) == (0, 0)


async def test_ac_47_a_name_that_changes_after_it_was_looked_at_leads_nowhere_else(outside: Outside) -> None:
    """Rebinding: what is connected to is what was checked, and the next fetch looks anew."""
    outside.names.zone[GOOD] = lambda time: ["127.0.0.1"] if time == 1 else [MAPPED]
    fetcher = outside.fetcher()
    assert (await get(fetcher, outside.url)).status == 200
    assert (outside.receiver.connections, outside.inner.connections) == (1, 0)
    with pytest.raises(AddressRefusedError):
        await get(fetcher, outside.url)
    assert (outside.receiver.connections, outside.inner.connections) == (1, 0)


@pytest.mark.parametrize("blinded", ["the text of the URL", "the look-up"])
async def test_ac_47_the_socket_looks_too(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, blinded: str
) -> None:
    """Were the URL or the name let through, no connection would be begun all the same."""
    url = f"https://[{MAPPED}]:{outside.port}/"
    if blinded == "the text of the URL":
        monkeypatch.setattr(guarded_fetcher, "fault_of_address", lambda *_, **__: None)
    else:
        monkeypatch.setattr(guarded_connections, "PublicAddresses", _unchecked)
        outside.names.zone[GOOD], url = [MAPPED, ANY], outside.url
    with pytest.raises(FetchFailedError, match="connection"):
        await get(outside.fetcher(), url)
    assert (outside.inner.connections, outside.receiver.connections) == (0, 0)


def _unchecked(look_up: Callable[..., Any], *, private_targets: bool) -> guarded_connections.AnyAddress:
    return guarded_connections.AnyAddress(look_up)


async def test_a_name_of_many_addresses_is_no_scanner(outside: Outside) -> None:
    """A few are tried, and all are looked at."""
    many = [f"127.0.1.{number}" for number in range(1, 200)]
    resolver = guarded_connections.PublicAddresses(outside.names.look_up, private_targets=True)
    outside.names.zone[GOOD] = many
    tried = [each["host"] for each in await resolver.resolve(GOOD, 443)]
    assert tried == many[: guarded_connections.MOST_ADDRESSES]
    outside.names.zone[GOOD] = [*many, ANY]
    with pytest.raises(AddressRefusedError):
        await resolver.resolve(GOOD, 443)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_ac_47_a_redirect_is_an_answer(outside: Outside, status: int) -> None:
    """Nobody follows it, inside or elsewhere."""
    for target in (f"https://{INNER}:{outside.port}/", f"http://{INNER}:{outside.port}/", outside.url):
        outside.receiver.answer = (
            f"HTTP/1.1 {status} Go\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        answer = await get(outside.fetcher(), outside.url)
        assert (answer.status, answer.headers["Location"]) == (status, target)
    assert (outside.receiver.connections, outside.inner.connections) == (3, 0)


async def test_nothing_of_one_fetch_is_kept_for_another(outside: Outside) -> None:
    """No cookie and no connection."""
    outside.receiver.answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    fetcher = outside.fetcher()
    for _ in range(2):
        await get(fetcher, outside.url)
    assert outside.receiver.connections == 2
    assert not any(b"cookie" in request.lower() for request in outside.receiver.requests)


async def test_proxies_of_the_environment_do_not_count(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were set for other traffic, and would connect to anything."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://{INNER}:{outside.port}")
    assert (await get(outside.fetcher(), outside.url)).status == 200
    assert outside.inner.connections == 0


async def test_a_receiver_that_nobody_vouches_for_gets_nothing(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither a certificate of an unknown authority nor one for another name; the store is that of `SSL_CERT_FILE`."""
    outside.names.zone["other.example"] = ["127.0.0.1"]
    with pytest.raises(FetchFailedError, match="tls"):
        await get(outside.fetcher(), f"https://other.example:{outside.port}/")
    (tmp_path / "nobody.pem").write_bytes(b"")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nobody.pem"))
    with pytest.raises(FetchFailedError, match="tls"):
        await get(outside.fetcher(), outside.url)
    assert outside.receiver.requests == []


async def test_a_name_without_addresses_is_told_so(outside: Outside) -> None:
    """And a port at which nobody listens."""
    with pytest.raises(FetchFailedError, match="name"):
        await get(outside.fetcher(), "https://nowhere.example/")
    with pytest.raises(FetchFailedError, match="connection"):
        await get(outside.fetcher(), "https://127.0.0.1:1/")
