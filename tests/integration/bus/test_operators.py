"""What an operator sees and mends from the command line, also while things are down."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from typing import Any

from shared.bus import Bus
from shared.bus.status import bus_status
from tests.harness.processes import REPOSITORY, clean_environ
from tests.harness.stores import Servers, fresh_database
from tests.integration.bus.conftest import GROUP, STREAM, Valkey, consuming, echoing, open_bus, until
from tests.integration.bus.messages import Echo


async def latchkey(*arguments: str, **environ: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `latchkey …`."""
    finished = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "deploy.cli", *arguments],
        cwd=REPOSITORY,
        env=clean_environ({f"LATCHKEY_{name}": value for name, value in environ.items()}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return finished.returncode, finished.stdout, finished.stderr


async def status_of(valkey: Valkey, **environ: str) -> tuple[int, Any]:
    """Exit code and JSON of `bus status`."""
    code, told, _ = await latchkey("bus", "status", "--json", REDIS_URL=valkey.url, **environ)
    return code, json.loads(told)


async def test_status_tells_how_full_the_bus_is_and_who_reads(valkey: Valkey, servers: Servers) -> None:
    """Exit code 0 when it is quiet, else 1."""
    async with open_bus(valkey) as bus, fresh_database(servers) as database_url:
        code, told = await status_of(valkey, DATABASE_URL=database_url)
        assert (code, told["quiet"], told["error"]) == (0, True, None)
        assert [outbox["unpublished"] for outbox in told["outboxes"]] == [0, 0]
        await bus.redis.execute("XGROUP", "CREATE", STREAM, GROUP, "0", "MKSTREAM")
        for _ in range(3):
            await bus.send(Echo(text="x"))
        await bus.redis.execute("XREADGROUP", "GROUP", GROUP, "holder", "COUNT", 1, "STREAMS", STREAM, ">")
        code, told = await status_of(valkey)
        (queue,) = [queue for queue in told["queues"] if queue["stream"] == Echo.queue]
        assert (code, told["quiet"]) == (1, False)
        assert {
            name: queue[name] for name in ("backlog", "pending", "delayed", "dead_letters", "consumers")
        } == {
            "backlog": 3,
            "pending": 1,
            "delayed": 0,
            "dead_letters": 0,
            "consumers": 1,
        }
        assert 0 < queue["oldest_ms"] < 60_000
        assert [(member["name"], member["pending"]) for member in queue["members"]] == [("holder", 1)]
        code, table, _ = await latchkey("bus", "status", REDIS_URL=valkey.url)
        assert code == 1
        assert table.splitlines()[-1] == "busy"


async def test_status_counts_what_the_groups_of_an_event_stream_have_not_read(valkey: Valkey) -> None:
    """Events stay in their streams; only what somebody must still read is a backlog."""
    stream = "lk:{events.auth}"
    async with open_bus(valkey) as bus:
        for _ in range(5):
            await bus.redis.execute("XADD", stream, "*", "a", "b")
        assert (await bus_status(bus.redis, bus.time.now())).quiet
        await bus.redis.execute("XGROUP", "CREATE", stream, "key_issuer", "0")
        await bus.redis.execute("XREADGROUP", "GROUP", "key_issuer", "m", "COUNT", 2, "STREAMS", stream, ">")
        (queue,) = [
            queue
            for queue in (await bus_status(bus.redis, bus.time.now() + 1000)).queues
            if queue.stream == "events.auth"
        ]
        assert (queue.backlog, queue.pending) == (3, 2)
        assert queue.oldest_ms >= 1000


async def test_status_says_what_is_down(valkey: Valkey) -> None:
    """A clear line and exit code 1, within seconds; the other store is looked at all the same."""
    valkey.kill()
    code, told = await status_of(valkey, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert (code, told["quiet"], told["queues"]) == (1, False, [])
    assert told["error"].startswith("redis: cannot connect")
    assert {outbox["schema"] for outbox in told["outboxes"]} == {"auth", "keys"}
    assert all(outbox["error"] for outbox in told["outboxes"])
    code, _, said = await latchkey("bus", "dead-letters", "list", REDIS_URL=valkey.url)
    assert code == 1
    assert said.startswith("Error: redis: cannot connect")
    valkey.start()
    async with open_bus(valkey):
        code, told = await status_of(valkey, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
        assert (code, told["quiet"], told["error"]) == (1, False, None)
    valkey.signal(signal.SIGSTOP)
    code, _, said = await latchkey("bus", "dead-letters", "list", REDIS_URL=f"{valkey.url}/1")
    assert (code, said.splitlines()) == (1, ["Error: redis: cannot connect: TimeoutError"])


async def test_dead_letters_are_listed_shown_replayed_and_dropped(valkey: Valkey) -> None:
    """Each by its id, or all."""
    async with open_bus(valkey) as bus, consuming(echoing(bus)):
        for text in ("1", "2", "3"):
            fields = bus.prepare(Echo(text=text)).fields
            fields[fields.index("echo.say")] = "echo.unknown"
            await bus.redis.execute("XADD", STREAM, "*", *fields)
        await until(lambda: _letters(bus, 3))
        code, told, _ = await latchkey("bus", "dead-letters", "list", "--json", REDIS_URL=valkey.url)
        letters = json.loads(told)
        assert code == 0
        assert [letter["reason"] for letter in letters] == ["unknown type echo.unknown"] * 3
        chosen = letters[1]["id"]
        _, told, _ = await latchkey("bus", "dead-letters", "show", chosen, REDIS_URL=valkey.url)
        assert json.loads(told)["fields"]["d"] == '{"text":"2"}'
        assert (await latchkey("bus", "dead-letters", "drop", chosen, REDIS_URL=valkey.url))[
            1
        ] == "1 dropped\n"
        code, _, said = await latchkey("bus", "dead-letters", "drop", chosen, REDIS_URL=valkey.url)
        assert (code, said) == (1, f"Error: There is no dead letter {chosen}.\n")
        assert (await latchkey("bus", "dead-letters", "replay", "all", REDIS_URL=valkey.url))[
            1
        ] == "2 replayed\n"
        await until(lambda: _letters(bus, 2))  # the type is still unknown
        assert (await latchkey("bus", "dead-letters", "drop", "all", REDIS_URL=valkey.url))[
            1
        ] == "2 dropped\n"
        code, told, said = await latchkey("bus", "dead-letters", "list", REDIS_URL=valkey.url)
        assert (code, told, said) == (0, "", "No dead letters.\n")


async def _letters(bus: Bus, number: int) -> bool:
    length: int = await bus.redis.execute("XLEN", "lk:{key_issuer:0}:dead")
    return length == number


async def test_a_reader_that_only_waits_is_counted(valkey: Valkey) -> None:
    """Before its first message, too, `bus status` knows who reads."""
    async with open_bus(valkey) as bus, open_bus(valkey, "key_issuer") as theirs, consuming(echoing(theirs)):

        async def is_counted() -> bool:
            status = await bus_status(bus.redis, bus.time.now())
            (queue,) = [queue for queue in status.queues if queue.stream == Echo.queue]
            return queue.consumers == 1

        await until(is_counted)
