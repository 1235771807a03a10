"""What the guard says of a key, what it asks for that, and what it remembers."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import web

from latchkey_sdk import Guard, Key, Refused
from shared.api_key import SERVICE_KEY, mint_key
from tests.sdk.python.conftest import AheadClock
from tests.sdk.python.latchkey import PlayedLatchkey, guarding, mint, refusal, until


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
    garbage += [
        " " + good,
        good + "\n",
        "\ud800",
        "a" * 1_000_000,
        "\N{LATIN SMALL LETTER DOTLESS I}" + good[1:],
        good[:-6] + "٣" * 6,
    ]
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
