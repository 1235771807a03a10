"""`latchkey bus`: what waits on the message bus, and mending the messages that nobody could handle."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from shared.bus import CoalescingRedis
from shared.bus.status import (
    BusStatus,
    DeadLetter,
    bus_status,
    dead_letters,
    drop_dead_letter,
    replay_dead_letter,
)
from shared.clock import SystemClock
from shared.settings import load_settings

ResultT = TypeVar("ResultT")


@click.group()
def bus() -> None:
    """Look at the message bus and mend it. Needs LATCHKEY_REDIS_URL (see `latchkey env`)."""


@bus.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def status(*, as_json: bool) -> None:
    """Backlog, pending entries, consumers and dead letters; exits 0 when the bus is quiet, 1 otherwise."""
    found = _with_redis(lambda client: bus_status(client, SystemClock().now()))
    click.echo(json.dumps(found.as_dict(), indent=2) if as_json else _table(found))
    sys.exit(0 if found.quiet else 1)


@bus.group("dead-letters")
def letters() -> None:
    """Messages that nobody could handle: kept until you replay or drop them."""


@letters.command("list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def list_letters(*, as_json: bool) -> None:
    """Each with its queue, id, type and reason, oldest first."""
    found = _with_redis(dead_letters)
    if as_json:
        click.echo(json.dumps([_summary(letter) for letter in found], indent=2))
    for letter in [] if as_json else found:
        click.echo(f"{letter.queue}  {letter.id}  {letter.type}  {letter.reason}")
    if not found:
        click.echo("No dead letters.", err=True)


@letters.command()
@click.argument("letter_id", metavar="ID")
def show(letter_id: str) -> None:
    """One dead letter with all its fields. Messages hold digests, never a secret."""
    letter = _find(letter_id)
    fields = [field.decode("utf-8", "replace") for field in letter.fields]
    pairs = dict(zip(fields[::2], fields[1::2], strict=False))
    click.echo(json.dumps(_summary(letter) | {"fields": pairs}, indent=2))


@letters.command()
@click.argument("letter_id", metavar="ID|all")
def replay(letter_id: str) -> None:
    """Put a dead letter (or all) back into its stream, as a first try without a deadline."""
    _for_each(letter_id, replay_dead_letter, "replayed")


@letters.command()
@click.argument("letter_id", metavar="ID|all")
def drop(letter_id: str) -> None:
    """Delete a dead letter (or all) for good."""
    _for_each(letter_id, drop_dead_letter, "dropped")


def _for_each(
    letter_id: str, act: Callable[[CoalescingRedis, DeadLetter], Awaitable[bool]], done: str
) -> None:
    chosen = _with_redis(dead_letters) if letter_id == "all" else [_find(letter_id)]

    async def every(client: CoalescingRedis) -> int:
        return sum([await act(client, letter) for letter in chosen])

    click.echo(f"{_with_redis(every)} {done}")


def _find(letter_id: str) -> DeadLetter:
    for letter in _with_redis(dead_letters):
        if letter.id == letter_id:
            return letter
    raise click.ClickException(f"There is no dead letter {letter_id}.")


def _with_redis(work: Callable[[CoalescingRedis], Awaitable[ResultT]]) -> ResultT:
    settings = load_settings(need=frozenset({"redis_url"}))

    async def main() -> ResultT:
        client = CoalescingRedis(settings.redis_url)
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(main())


def _summary(letter: DeadLetter) -> dict[str, Any]:
    return {
        "queue": letter.queue,
        "id": letter.id,
        "type": letter.type,
        "reason": letter.reason,
        "diedOn": letter.died_on,
    }


def _table(found: BusStatus) -> str:
    row = "{:<14}{:>9}{:>12}{:>9}{:>9}{:>14}{:>11}"
    lines = [row.format("stream", "backlog", "oldest ms", "pending", "delayed", "dead letters", "consumers")]
    lines += [
        row.format(
            queue.stream,
            queue.backlog,
            queue.oldest_ms,
            queue.pending,
            queue.delayed,
            queue.dead_letters,
            queue.consumers,
        )
        for queue in found.queues
    ]
    return "\n".join([*lines, "quiet" if found.quiet else "busy"])
