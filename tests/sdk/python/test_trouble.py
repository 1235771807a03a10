"""What the guard says when Latchkey does not answer, or says nonsense, and whom it tells."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import pytest
from aiohttp import web

from latchkey_sdk import Guard, Refused, _guard
from shared.api_key import SERVICE_KEY, mint_key
from tests.sdk.python.conftest import AheadClock
from tests.sdk.python.latchkey import SERVICE, PlayedLatchkey, guarding, played_latchkey, refusal, until


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


async def test_a_redirect_is_not_followed(latchkey: PlayedLatchkey) -> None:
    """Neither the key nor the service key goes anywhere else, and nobody else's yes counts."""
    key = latchkey.make("a")
    async with played_latchkey() as other:
        other.facts = latchkey.facts

        def to_other(path: str) -> Callable[[], web.Response]:
            return lambda: web.Response(status=307, headers={"Location": other.url + path})

        latchkey.answer = to_other("/api/v1/oauth/introspect")
        latchkey.stream_answer = to_other("/api/v1/revocations")
        async with guarding(latchkey.url, alive=False) as guard:
            await until(lambda: bool(latchkey.places))
            assert (await refusal(guard, key.token)).status == 503
            assert not guard.stream_alive
        assert other.questions == other.places == []


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
