"""What the guard hears, and what is silence to it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable

import pytest
from aiohttp import web

from latchkey_sdk import Guard, Refused
from shared.api_key import MintedKey
from tests.sdk.python.conftest import AheadClock
from tests.sdk.python.latchkey import PlayedLatchkey, guarding, mint, until
from tests.sdk.python.relay import Pass, after_headers, in_blocks, late, relaying


async def is_refused(guard: Guard, key: MintedKey) -> bool:
    """Whether the key is not live; 503 fails."""
    try:
        await guard.check(key.token)
    except Refused as refused:
        if refused.status != 401:
            raise
        return True
    return False


async def never_alive(guard: Guard, until_so: Callable[[], bool]) -> None:
    """The stream is silent until something is so."""
    alive: list[bool] = []

    def look() -> bool:
        if until_so():
            return True
        alive.append(guard.stream_alive)
        return False

    await until(look)
    assert not any(alive)


@pytest.mark.parametrize(
    "hold",
    [
        lambda: after_headers(in_blocks(4096)),
        lambda: in_blocks(4096),
        lambda: in_blocks(10**9),
        lambda: after_headers(late(2.5)),
        lambda: late(2.5),
    ],
    ids=["blocks", "blocks with the head", "everything", "late", "late with the head"],
)
async def test_a_proxy_that_holds_back_is_silence(
    clock: AheadClock, latchkey: PlayedLatchkey, hold: Callable[[], Pass]
) -> None:
    """Keys are checked all the same, and remembered for two seconds."""
    key = latchkey.make("a")
    async with relaying(latchkey.url) as relay:
        relay.hold = hold
        async with guarding(relay.url, alive=False) as guard:
            await guard.check(key.token)
            latchkey.facts[key.token] = {"active": False}
            await guard.check(key.token)
            await never_alive(guard, lambda: relay.streams > 1)
            clock.ahead += 2
            assert await is_refused(guard, key)


async def test_a_connection_that_says_nothing_more_is_silence(latchkey: PlayedLatchkey) -> None:
    """Half open, as after a cut cable: nobody is told. It listens again when it can, from where it was."""
    key = latchkey.make("a")
    async with relaying(latchkey.url) as relay, guarding(relay.url) as guard:
        relay.open.clear()
        await until(lambda: not guard.stream_alive)
        await never_alive(guard, lambda: relay.streams > 1)  # it gave that connection up
        relay.open.set()
        await guard.check(key.token)
        await until(lambda: guard.stream_alive)
        assert len(latchkey.places) > 1
        assert all(place is not None for place in latchkey.places[1:])


async def test_without_heartbeats_nothing_is_believed(latchkey: PlayedLatchkey, guard: Guard) -> None:
    """A Latchkey that hears nothing itself says nothing."""
    latchkey.beats = False
    await until(lambda: not guard.stream_alive)
    await until(lambda: len(latchkey.places) > 1)
    latchkey.beats = True
    await until(lambda: guard.stream_alive)


async def test_chatter_is_silence(latchkey: PlayedLatchkey) -> None:
    """Comments, unknown events and pieces of events keep proxies awake, and prove nothing."""
    latchkey.beats = False
    async with guarding(latchkey.url, alive=False) as guard:

        async def chatter() -> None:
            while True:
                await latchkey.say("weather", {})
                for listener in tuple(latchkey._listeners):
                    await listener.write(b": hello\n\ndata: {}\n\nevent: heart")
                await asyncio.sleep(0.1)

        talking = asyncio.ensure_future(chatter())
        await until(lambda: guard.stream_alive)  # the reset
        await until(lambda: not guard.stream_alive)
        await never_alive(guard, lambda: len(latchkey.places) > 2)
        talking.cancel()


async def test_it_comes_back_to_its_place(latchkey: PlayedLatchkey, guard: Guard) -> None:
    """A connection that ends costs neither what is remembered nor the trust in it."""
    key = latchkey.make("a")
    await latchkey.say("heartbeat", {}, place="here-17")
    latchkey.beats = False
    guard._memory._all_forgotten_at -= 10
    await guard.check(key.token)
    await latchkey.hang_up()
    await until(lambda: len(latchkey.places) == 2)
    assert latchkey.places[1] == "here-17"
    latchkey.beats = True
    await until(lambda: latchkey.listeners == 1)
    await until(lambda: guard.stream_alive)
    assert len(guard._memory) == 1


async def test_what_was_missed_counts_before_the_rest_is_believed(
    latchkey: PlayedLatchkey, guard: Guard
) -> None:
    """An invalidation that comes first is one of those that were missed, and more may follow."""
    key = latchkey.make("a")
    latchkey.beats = False
    guard._memory._all_forgotten_at -= 10
    await guard.check(key.token)
    await latchkey.hang_up()
    await until(lambda: latchkey.listeners == 1)
    await until(lambda: not guard.stream_alive)  # a connection without a word; another follows
    came = len(latchkey.places)
    await until(lambda: len(latchkey.places) > came and latchkey.listeners == 1)
    await latchkey.invalidate(mint())
    await latchkey.invalidate(key)
    await until(lambda: len(guard._memory) == 0)
    assert not guard.stream_alive
    await latchkey.say("heartbeat", {})
    await until(lambda: guard.stream_alive)


async def test_a_clock_that_leapt_makes_what_waits_old(clock: AheadClock, latchkey: PlayedLatchkey) -> None:
    """The machine slept: what lies in the socket is from before. The next connection says what is new."""
    key = latchkey.make("a")
    async with guarding(latchkey.url) as guard:
        guard._memory._all_forgotten_at -= 10
        await guard.check(key.token)
        latchkey.facts[key.token] = {"active": False}
        latchkey.beats = False  # the next connection says nothing before it was looked at
        clock.ahead += 30
        assert not guard.stream_alive
        await latchkey.say("heartbeat", {})
        await never_alive(guard, lambda: len(latchkey.places) == 2)
        assert await is_refused(guard, key)
        latchkey.beats = True
        await until(lambda: guard.stream_alive)


CHECKER = """
import asyncio, sys
from latchkey_sdk import Guard, Refused

async def main(url, service_key, key):
    async with Guard(url, service_key) as guard:
        while not guard.stream_alive:
            await asyncio.sleep(0.02)
        while True:
            line = await asyncio.to_thread(sys.stdin.readline)
            if not line:
                return
            try:
                await guard.check(key)
                print("accepted", guard.stream_alive, flush=True)
            except Refused as refused:
                print(refused.status, guard.stream_alive, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
async def test_a_process_that_was_stopped_believes_nothing_old(latchkey: PlayedLatchkey) -> None:
    """Heartbeats that piled up in its socket meanwhile are no news, although it reads them only now."""
    key = latchkey.make("a")
    from tests.sdk.python.latchkey import SERVICE

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHECKER, latchkey.url, SERVICE, key.token,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:

        async def check() -> str:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"check\n")
            return (await process.stdout.readline()).decode().strip()

        async with asyncio.timeout(60):
            # Until it is kept for longer than two seconds: some time after the reset.
            while len(latchkey.questions) < 3:
                assert await check() == "accepted True"
            process.send_signal(signal.SIGSTOP)
            heard = latchkey._counter
            latchkey.facts[key.token] = {"active": False}
            process.stdin.write(b"check\n")
            await until(lambda: latchkey._counter > heard + 20)  # over six seconds of heartbeats
            process.send_signal(signal.SIGCONT)
            answers = [(await process.stdout.readline()).decode().split()[0]]
            answers += [(await check()).split()[0] for _ in range(20)]
            assert set(answers) == {"401"}
            await until(lambda: len(latchkey.places) > 1)
            assert latchkey.places[-1] is not None
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("status", [401, 403])
async def test_a_stream_that_is_refused_is_not_believed_any_more(
    latchkey: PlayedLatchkey, guard: Guard, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """At once, and it is not asked for again and again."""
    latchkey.stream_answer = lambda: web.Response(status=status)
    await latchkey.hang_up()
    await until(lambda: "introspect" in caplog.text)
    assert not guard.stream_alive
    assert len(latchkey.places) == 2


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=404),
        lambda: web.Response(text="reset"),
        lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        lambda: web.Response(body=b"event: heartbeat\r\ndata: {}\r\n", content_type="text/event-stream"),
        lambda: web.Response(body=b"data: " + b"x" * 2_000_000, content_type="text/event-stream"),
    ],
    ids=["404", "no stream", "redirect", "half an event", "an endless event"],
)
async def test_what_is_no_stream_is_silence(
    latchkey: PlayedLatchkey, answer: Callable[[], web.StreamResponse]
) -> None:
    """Keys are checked all the same."""
    latchkey.stream_answer = answer
    async with guarding(latchkey.url, alive=False) as guard:
        await never_alive(guard, lambda: bool(latchkey.places))
        await guard.check(latchkey.make("a").token)
        assert not guard.stream_alive


async def test_it_listens_again_when_latchkey_is_back(latchkey: PlayedLatchkey) -> None:
    """After any number of refusals."""
    latchkey.stream_answer = lambda: web.Response(status=503, headers={"Retry-After": "1"})
    async with guarding(latchkey.url, alive=False) as guard:
        await until(lambda: len(latchkey.places) == 2)
        latchkey.stream_answer = lambda: None
        await until(lambda: guard.stream_alive)
