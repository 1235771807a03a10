"""Where a guard may ask, with which key, for which resource, and when in its life."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from latchkey_sdk import Guard, Refused
from tests.sdk.python.latchkey import SERVICE, PlayedLatchkey, guarding, mint, refusal, until


async def test_outside_of_its_life_it_lets_nobody_in(latchkey: PlayedLatchkey) -> None:
    """A mistake of the application's is an error, never a yes."""
    key = latchkey.make("a")
    guard = Guard(latchkey.url, SERVICE)
    with pytest.raises(RuntimeError, match="async with"):
        await guard.check(key.token)
    async with guard:
        await guard.check(key.token)
        with pytest.raises(RuntimeError):
            await guard.start()
        latchkey.gate.clear()
        latchkey.asked.clear()
        waiting = asyncio.ensure_future(guard.check(latchkey.make("a").token))
        await latchkey.asked.wait()
    with pytest.raises(Refused):
        await waiting
    with pytest.raises(RuntimeError):
        await guard.check(key.token)
    latchkey.gate.set()
    async with guard:
        await guard.check(key.token)


@pytest.mark.parametrize(
    "url",
    ["keys.example.com", "ftp://keys.example.com", "https://", "https://a:b@keys.example.com", "https://k.example/?a=b",
     "https://k.example/#a", "http://keys.example.com", "http://8.8.8.8"],
)  # fmt: skip
def test_an_address_that_cannot_be_right_is_refused_at_once(url: str) -> None:
    """Plain http only where nobody else listens."""
    with pytest.raises(ValueError, match=r"address|https"):
        Guard(url, SERVICE)


@pytest.mark.parametrize(
    "url",
    ["https://keys.example.com/prefix/", "http://127.0.0.1:8080", "http://[::1]:8103", "http://localhost", "http://key_issuer:8103",
     "http://10.1.2.3", "http://latchkey.default.svc", "http://key-issuer.latchkey.svc.cluster.local:8103"],
)  # fmt: skip
def test_an_address_in_the_operators_own_network_may_be_plain(url: str) -> None:
    """As in compose and Kubernetes."""
    Guard(url, SERVICE)


@pytest.mark.parametrize("key", ["", "  ", "a b", "a\nb", "schlüssel"])
def test_a_service_key_that_cannot_be_sent_is_refused_at_once(key: str) -> None:
    """And not quoted."""
    with pytest.raises(ValueError, match="service key") as caught:
        Guard("https://keys.example.com", key)
    assert not key.strip() or key not in str(caught.value)


async def test_the_address_may_have_a_path(latchkey: PlayedLatchkey) -> None:
    """Behind a proxy that puts Latchkey under one."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"active": False})

    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", answer)
    from deploy.embedded.ports import free_port
    from shared.web.server import serving

    port = free_port()
    async with (
        serving(app, "127.0.0.1", port, drain_seconds=0),
        guarding(f"http://127.0.0.1:{port}/keys/", alive=False) as guard,
    ):
        await refusal(guard, mint().token)
        await until(lambda: len(asked) == 2)
    assert sorted(asked) == ["/keys/api/v1/oauth/introspect", "/keys/api/v1/revocations"]


@pytest.mark.parametrize(
    ("resource", "audience", "accepted"),
    [
        (None, None, True),
        ("https://api.example/", None, False),
        ("https://api.example/", "HTTPS://API.example", True),
        ("https://api.example/a", ["https://other.example", "https://api.example/a/"], True),
        ("https://api.example/a", "https://api.example/A", False),
        (None, "https://api.example", False),
        ("https://api.example", {}, False),
    ],
)
async def test_a_key_is_good_where_it_is_bound(
    latchkey: PlayedLatchkey, resource: str | None, audience: Any, accepted: bool
) -> None:
    """Where the answer says so (RFC 8707)."""
    key = latchkey.make("a", **({} if audience is None else {"aud": audience}))
    async with Guard(latchkey.url, SERVICE, resource) as guard:
        if accepted:
            await guard.check(key.token)
        else:
            assert (await refusal(guard, key.token)).error == "invalid_token"
