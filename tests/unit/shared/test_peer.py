"""Whom failures are counted against: the socket's peer, or the hop that trusted proxies name (RFC 7239 §6)."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from shared.settings import load_settings
from shared.web.edge import _counted, peer_of

SETTINGS = {
    "LATCHKEY_PUBLIC_URL": "https://keys.example",
    "LATCHKEY_SECRET": "s" * 32,
    "LATCHKEY_KEY_PEPPER": "p" * 32,
    "LATCHKEY_REDIS_URL": "redis://localhost",
    "LATCHKEY_DATABASE_URL": "postgresql://localhost/latchkey",
}


def peer(forwarded: str, proxies: int = 1, socket: str = "192.0.2.1") -> str:
    """What a request with this header from this socket counts as."""
    settings = load_settings({**SETTINGS, "LATCHKEY_TRUSTED_PROXIES": str(proxies)})
    headers = CIMultiDict({"X-Forwarded-For": forwarded} if forwarded else {})
    return peer_of(make_mocked_request("GET", "/", headers=headers).clone(remote=socket), settings)


@pytest.mark.parametrize(
    ("forwarded", "counted"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("198.51.100.7:4711", "198.51.100.7"),
        ("203.0.113.9, 198.51.100.7:4711", "198.51.100.7"),
        ("[2001:db8::7]", "2001:db8::/64"),
        ("[2001:db8::7]:4711", "2001:db8::/64"),
        ("2001:db8::7", "2001:db8::/64"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
    ],
)
def test_a_hop_may_carry_brackets_and_a_port(forwarded: str, counted: str) -> None:
    """Two clients behind such a proxy are two peers: one that guesses locks no other out."""
    assert peer(forwarded) == counted


@pytest.mark.parametrize(
    "forwarded", ["unknown", "_hidden", "", "a.b:c:d", "999.1.1.1", "[198.51.100.7", "%"]
)
def test_a_hop_that_names_no_address_counts_as_the_socket(forwarded: str) -> None:
    """Not as one peer with all others of its kind."""
    assert peer(forwarded) == "192.0.2.1"


def test_a_hop_as_long_as_a_header_is_not_remembered() -> None:
    """It names no address, and thousands of them would stay in memory."""
    kept = _counted.cache_info().currsize
    for length in (65, 1_000, 16_000):
        assert peer("1" * length) == "192.0.2.1"
    assert _counted.cache_info().currsize <= kept + 1  # the socket's


def test_without_trusted_proxies_the_header_says_nothing() -> None:
    """Anybody can write it."""
    assert peer("198.51.100.7", proxies=0) == "192.0.2.1"


def test_fewer_hops_than_proxies_are_no_hop_at_all() -> None:
    """Such a request has not come the whole way."""
    assert peer("198.51.100.7", proxies=2) == "192.0.2.1"
