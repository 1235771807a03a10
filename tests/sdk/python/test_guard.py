"""What the guard says of a key, what it asks for that, and what it remembers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from latchkey_sdk import Guard, Key, Refused, _guard
from shared.api_key import SERVICE_KEY, mint_key
from tests.sdk.python.conftest import AheadClock
from tests.sdk.python.latchkey import SERVICE, PlayedLatchkey, guarding, mint, until


async def refusal(guard: Guard, key: str | None, *permissions: str) -> Refused:
    """How a check is refused."""
    with pytest.raises(Refused) as caught:
        await guard.check(key, *permissions)
    return caught.value


async def test_a_good_key_is_known_with_all_its_facts(latchkey: PlayedLatchkey, guard: Guard) -> None:
    """What introspection says, with names of Python."""
    key = latchkey.make("a", "b", external_user="zoe-1")
    personal = latchkey.make("a", client_id=None)
    found = await guard.check(key.token, "b")
    assert found == Key(key.key_id, 2, "b", "zoe-1", "CXFervidex", frozenset({"a", "b"}))
    assert (await guard.check(personal.token)).client_id is None
    with pytest.raises(AttributeError):
        found.username = "eve"  # type: ignore[misc]


async def test_refusals_say_what_rfc_6750_wants(latchkey: PlayedLatchkey, guard: Guard) -> None:
    """Nothing of the error where no key was sent (§3.1)."""
    key = latchkey.make("a")
    nothing = await refusal(guard, None)
    assert (nothing.status, nothing.error, nothing.retry_after) == (401, None, None)
    assert nothing.headers == {"WWW-Authenticate": 'Bearer realm="latchkey"'}
    unknown = await refusal(guard, mint().token)
    assert (unknown.status, unknown.error) == (401, "invalid_token")
    assert unknown.headers == {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    narrow = await refusal(guard, key.token, "a", "b", 'c"d')
    assert (narrow.status, narrow.error) == (403, "insufficient_scope")
    assert narrow.headers == {"WWW-Authenticate": 'Bearer error="insufficient_scope", scope="a b"'}


async def test_garbage_costs_no_request(latchkey: PlayedLatchkey, guard: Guard) -> None:
    """Form and checksum are looked at here; so is the kind: a service key is nobody's."""
    good = mint().token
    changed = good[:-7] + ("a" if good[-7] != "a" else "b") + good[-6:]
    other_crc = good[:-1] + ("a" if good[-1] != "a" else "b")
    service = mint_key("lk", SERVICE_KEY, "http://latchkey.test").token
    garbage = [
        "x",
        changed,
        other_crc,
        good[:-1],
        good + "a",
        good.upper(),
        service,
        good.replace("_", "-"),
        "é" * 79,
    ]
    garbage += [" " + good, good + "\n", "\ud800", "a" * 1_000_000, "ı" + good[1:], good[:-6] + "٣" * 6]
    for each in garbage:
        refused = await refusal(guard, each)
        assert (refused.status, refused.error) == (401, "invalid_token")
    assert latchkey.questions == []


async def test_a_key_is_asked_about_once_while_the_stream_is_alive(
    clock: AheadClock, latchkey: PlayedLatchkey
) -> None:
    """For a minute; a refusal is never remembered."""
    key = latchkey.make("a")
    async with guarding(latchkey.url) as guard:
        clock.ahead += 10  # what is asked directly after a reset is not kept so long
        await until(lambda: guard.stream_alive)
        for _ in range(3):
            await guard.check(key.token)
        clock.ahead += 55
        await until(lambda: guard.stream_alive)
        await guard.check(key.token)
        assert latchkey.questions == [key.token]
        clock.ahead += 5
        await until(lambda: guard.stream_alive)
        await guard.check(key.token)
        assert len(latchkey.questions) == 2
        unknown = mint().token
        for _ in range(2):
            await refusal(guard, unknown)
        assert latchkey.questions[2:] == [unknown, unknown]


async def test_without_the_stream_a_key_is_remembered_for_two_seconds(
    clock: AheadClock, latchkey: PlayedLatchkey
) -> None:
    """Counted from before the question was sent."""
    latchkey.stream_answer = lambda: web.Response(status=503)
    key = latchkey.make("a")
    async with guarding(latchkey.url, alive=False) as guard:
        await guard.check(key.token)
        clock.ahead += 1.5
        await guard.check(key.token)
        assert len(latchkey.questions) == 1
        clock.ahead += 0.5
        await guard.check(key.token)
        assert len(latchkey.questions) == 2
        assert not guard.stream_alive


async def test_many_checks_of_one_key_cost_one_question(latchkey: PlayedLatchkey, guard: Guard) -> None:
    """Also when the one who asked first goes away."""
    key = latchkey.make("a")
    latchkey.gate.clear()
    first = asyncio.ensure_future(guard.check(key.token))
    others = [asyncio.ensure_future(guard.check(key.token)) for _ in range(50)]
    await latchkey.asked.wait()
    first.cancel()
    latchkey.gate.set()
    assert {each.key_id for each in await asyncio.gather(*others)} == {key.key_id}
    assert latchkey.questions == [key.token]
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_revocation_during_the_question_is_not_overlooked(
    latchkey: PlayedLatchkey, guard: Guard
) -> None:
    """The answer was made before it: it is asked again, at once."""
    key = latchkey.make("a")
    latchkey.gate.clear()
    check = asyncio.ensure_future(guard.check(key.token))
    await latchkey.asked.wait()
    latchkey.facts[key.token] = {"active": False}
    await latchkey.invalidate(key)
    await until(lambda: key.key_id in guard._memory._forgotten)
    latchkey.gate.set()
    with pytest.raises(Refused) as caught:
        await check
    assert caught.value.error == "invalid_token"
    assert len(latchkey.questions) == 2


async def test_an_invalidated_key_is_asked_about_until_every_process_must_know(
    clock: AheadClock, latchkey: PlayedLatchkey
) -> None:
    """Another process of Latchkey's may still say yes for three seconds: such an answer is not kept."""
    key = latchkey.make("a")
    async with guarding(latchkey.url) as guard:
        await latchkey.invalidate(key)
        await until(lambda: key.key_id in guard._memory._forgotten)
        for _ in range(3):
            await guard.check(key.token)
        assert len(latchkey.questions) == 3
        clock.ahead += 4
        await until(lambda: guard.stream_alive)
        for _ in range(3):
            await guard.check(key.token)
        assert len(latchkey.questions) == 4


@pytest.mark.parametrize("how", ["invalidate", "reset", "nonsense"])
async def test_what_the_stream_takes_back_is_forgotten(
    latchkey: PlayedLatchkey, guard: Guard, how: str
) -> None:
    """A pause comes as an invalidation too; what cannot be read may have said anything."""
    key, other = latchkey.make("a"), latchkey.make("a")
    await guard.check(key.token)
    await guard.check(other.token)
    latchkey.facts[key.token] = {"active": False}
    if how == "invalidate":
        await latchkey.invalidate(key)
    elif how == "reset":
        await latchkey.say("reset", {})
    else:
        await latchkey.say("invalidate", ["?"])
    await until(lambda: len(guard._memory) < 2)
    assert (await refusal(guard, key.token)).error == "invalid_token"
    assert len(guard._memory) == (1 if how == "invalidate" else 0)


async def test_a_keys_own_end_is_honoured(clock: AheadClock, latchkey: PlayedLatchkey) -> None:
    """It is not remembered beyond that, whatever the stream says."""
    key = latchkey.make("a", exp=int(time.time()) + 30)
    async with guarding(latchkey.url) as guard:
        clock.ahead += 10
        await until(lambda: guard.stream_alive)
        await guard.check(key.token)
        clock.ahead += 25
        await until(lambda: guard.stream_alive)
        await guard.check(key.token)
        assert len(latchkey.questions) == 1
        clock.ahead += 5
        await until(lambda: guard.stream_alive)
        latchkey.facts[key.token] = {"active": False}
        assert (await refusal(guard, key.token)).error == "invalid_token"


async def test_its_memory_is_bounded(latchkey: PlayedLatchkey, guard: Guard) -> None:
    """The key that was used longest ago goes first."""
    guard._memory._most_entries = 2
    one, two, three = (latchkey.make("a") for _ in range(3))
    await guard.check(one.token)
    await guard.check(two.token)
    await guard.check(one.token)
    await guard.check(three.token)
    await guard.check(one.token)
    assert latchkey.questions == [one.token, two.token, three.token]
    await guard.check(two.token)
    assert len(latchkey.questions) == 4
    assert len(guard._memory) == 2
    assert len(guard._memory._digests) == 2


def answering(status: int, **headers: str) -> Callable[[], web.Response]:
    """An answer to every question."""
    return lambda: web.Response(status=status, headers=headers)


@pytest.mark.parametrize(
    ("answer", "retry_after"),
    [
        (answering(503, **{"Retry-After": "7"}), 7),
        (answering(503, **{"Retry-After": "86400"}), 30),
        (answering(503, **{"Retry-After": "Sun, 29 Nov 2026 12:00:00 GMT"}), 1),
        (answering(429, **{"Retry-After": "2"}), 2),
        (answering(500), 1),
        (answering(404), 1),
        (answering(307, Location="/elsewhere"), 1),
        (lambda: web.Response(text="<p>Hello"), 1),
        (lambda: web.Response(text="[" * 50_000), 1),
        (lambda: web.Response(text="9" * 70_000), 1),
        (lambda: web.json_response({}), 1),
        (lambda: web.json_response({"active": "yes"}), 1),
        (lambda: web.json_response({"active": True}), 1),
    ],
)
async def test_what_is_no_answer_is_503(
    latchkey: PlayedLatchkey, guard: Guard, answer: Callable[[], web.Response], retry_after: int
) -> None:
    """Never 401: nobody knows that the key is bad."""
    key = latchkey.make("a")
    latchkey.answer = answer
    refused = await refusal(guard, key.token)
    assert (refused.status, refused.error, refused.retry_after) == (503, None, retry_after)
    assert refused.headers == {"Retry-After": str(retry_after)}
    latchkey.answer = lambda: None
    await guard.check(key.token)


async def test_an_answer_about_another_key_is_none(latchkey: PlayedLatchkey, guard: Guard) -> None:
    """A cache on the way that mixes answers up lets nobody in."""
    key = latchkey.make("a", key_id="0" * 16)
    assert (await refusal(guard, key.token)).status == 503


async def test_a_service_key_that_is_refused_is_503_and_told_once(
    latchkey: PlayedLatchkey, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller can do nothing about it; the operator reads what to do."""
    wrong = mint_key("lk", SERVICE_KEY, "http://latchkey.test").token
    key = latchkey.make("a")
    async with guarding(latchkey.url, wrong, alive=False) as guard:
        await until(lambda: bool(latchkey.places))
        for _ in range(3):
            refused = await refusal(guard, key.token)
            assert (refused.status, refused.retry_after) == (503, 30)
        assert not guard.stream_alive
        assert wrong not in repr(guard)
    told = [record.getMessage() for record in caplog.records if record.name == "latchkey_sdk"]
    assert len([each for each in told if "refuses" in each and "introspect" in each]) == len(told) == 2
    assert not any(secret in caplog.text for secret in (wrong, key.token))


async def test_nothing_that_it_logs_or_raises_holds_a_key(
    latchkey: PlayedLatchkey, guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong."""
    caplog.set_level(logging.DEBUG)
    key = latchkey.make("a")
    said = [repr(guard), repr(await guard.check(key.token)), repr(await refusal(guard, key.token, "b"))]
    latchkey.answer = lambda: web.Response(text=key.token)
    said.append(repr(await refusal(guard, latchkey.make().token)))
    said += [repr(vars(guard)), caplog.text]
    assert not any(secret in text for text in said for secret in (key.token, SERVICE))


async def test_a_connection_that_was_kept_too_long_is_no_trouble(
    latchkey: PlayedLatchkey, guard: Guard
) -> None:
    """Latchkey may close it at any time: the question is sent again over another."""
    await guard.check(latchkey.make("a").token)
    times = iter((True, False))

    def hang_up_once() -> None:
        if next(times):
            raise asyncio.CancelledError

    latchkey.answer = hang_up_once
    await guard.check(latchkey.make("a").token)


async def test_a_latchkey_that_stalls_is_503_in_time(latchkey: PlayedLatchkey, guard: Guard) -> None:
    """Those who wait for a place among the questions as well; a thousand more are refused at once."""
    latchkey.gate.clear()
    keys = [latchkey.make("a").token for _ in range(_guard.MOST_WAITING + 1)]
    begun = time.monotonic()
    checks = [asyncio.ensure_future(guard.check(key)) for key in keys]
    with pytest.raises(Refused) as caught:
        await checks[-1]
    assert caught.value.status == 503
    assert not any(check.done() for check in checks[:-1])
    results = await asyncio.gather(*checks, return_exceptions=True)
    assert {result.status for result in results if isinstance(result, Refused)} == {503}
    assert len(results) == len([result for result in results if isinstance(result, Refused)])
    assert time.monotonic() - begun < 10
    latchkey.gate.set()
    assert len(latchkey.questions) <= 100


async def test_an_answer_that_took_too_long_says_nothing(clock: AheadClock, latchkey: PlayedLatchkey) -> None:
    """A process that was stopped meanwhile wakes up and finds it: it is asked again."""
    latchkey.stream_answer = lambda: web.Response(status=503)
    key = latchkey.make("a")
    async with guarding(latchkey.url, alive=False) as guard:
        latchkey.gate.clear()
        check = asyncio.ensure_future(guard.check(key.token))
        await latchkey.asked.wait()
        latchkey.facts[key.token] = {"active": False}
        clock.ahead += 60
        latchkey.gate.set()
        with pytest.raises(Refused) as caught:
            await check
        assert caught.value.error == "invalid_token"


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
        ("https://api.example/", None, True),
        ("https://api.example/", "HTTPS://API.example", True),
        ("https://api.example/a", ["https://other.example", "https://api.example/a/"], True),
        ("https://api.example/a", "https://api.example/A", False),
        (None, "https://api.example", False),
        ("https://api.example", {}, False),
    ],
)
async def test_a_key_that_is_bound_elsewhere_is_not_good_here(
    latchkey: PlayedLatchkey, resource: str | None, audience: Any, accepted: bool
) -> None:
    """Where the answer says so (RFC 8707)."""
    key = latchkey.make("a", **({} if audience is None else {"aud": audience}))
    async with Guard(latchkey.url, SERVICE, resource) as guard:
        if accepted:
            await guard.check(key.token)
        else:
            assert (await refusal(guard, key.token)).error == "invalid_token"
