"""`latchkey bus`: what waits on the message bus, and mending the messages that nobody could handle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

import asyncpg
import click

from deploy.cli.auth_resources import auth_database
from services.auth_api.db.repository import OPERATOR, write_audit
from services.auth_api.db.repository import SCHEMA as AUTH_SCHEMA
from services.key_issuer.db.repository import SCHEMA as KEYS_SCHEMA
from shared.bus import CoalescingRedis
from shared.bus.dead_letters import DeadLetter, dead_letters, drop_dead_letter, replay_dead_letter
from shared.bus.outbox import OutboxStatus, outbox_status
from shared.bus.status import BusStatus, bus_status
from shared.clock import SystemClock
from shared.database import Database
from shared.errors import StoreUnavailable
from shared.settings import Settings, load_settings
from shared.telemetry.logs import configure_logging

CONNECT_SECONDS: Final = 3.0

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class _Report:
    """What could be learned; a part that does not answer is an error in its place."""

    bus: BusStatus | None
    error: str | None
    outboxes: tuple[OutboxStatus, ...]
    outbox_errors: dict[str, str]

    @property
    def quiet(self) -> bool:
        """Nothing waits anywhere; what cannot be seen is not quiet."""
        told = not self.outbox_errors and not any(outbox.unpublished for outbox in self.outboxes)
        return self.bus is not None and self.bus.quiet and told

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found: dict[str, Any] = {"quiet": self.quiet, "error": self.error, "queues": []}
        if self.bus is not None:
            found["queues"] = self.bus.as_dict()["queues"]
        found["outboxes"] = [asdict(outbox) for outbox in self.outboxes]
        found["outboxes"] += [
            {"schema": schema, "error": error} for schema, error in self.outbox_errors.items()
        ]
        return found


@click.group()
def bus() -> None:
    """Look at the message bus and mend it. Needs LATCHKEY_REDIS_URL (see `latchkey env`)."""
    configure_logging(level="error", log_format="console", service="bus")


@bus.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_context
def status(context: click.Context, *, as_json: bool) -> None:
    """Backlog, pending entries, consumers, dead letters, and events that have not left yet.

    Exits 0 when the bus is quiet, 1 otherwise. The outboxes are looked at where a database is configured.
    """
    settings = load_settings(need=frozenset({"redis_url"}))
    report = asyncio.run(_report(settings))
    click.echo(json.dumps(report.as_dict(), indent=2) if as_json else _table(report))
    if report.error is not None:
        click.echo(f"Error: {report.error}", err=True)
    context.exit(0 if report.quiet else 1)


@bus.group("dead-letters")
def letters() -> None:
    """Messages that nobody could handle: kept until you replay or drop them."""


@letters.command("list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def list_letters(*, as_json: bool) -> None:
    """Each with its queue, id, type and reason, oldest first."""
    found = _with_redis(lambda client, _settings: dead_letters(client))
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

    async def find(client: CoalescingRedis, _settings: Settings) -> DeadLetter:
        return _chosen(await dead_letters(client), letter_id)[0]

    letter = _with_redis(find)
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
    """Acts on each chosen letter; what was done is in the audit of auth_api, where its database is configured."""

    async def every(client: CoalescingRedis, settings: Settings) -> int:
        found = await dead_letters(client)
        chosen = found if letter_id == "all" else _chosen(found, letter_id)
        if not settings.auth_api_database_url:
            click.echo("No database is configured, so this is in no audit.", err=True)
            return sum([await act(client, letter) for letter in chosen])
        database = auth_database(settings)
        try:
            return sum([await _audited(database, client, letter, act, done) for letter in chosen])
        finally:
            await database.stop()

    click.echo(f"{_with_redis(every)} {done}")


async def _audited(
    database: Database,
    client: CoalescingRedis,
    letter: DeadLetter,
    act: Callable[[CoalescingRedis, DeadLetter], Awaitable[bool]],
    done: str,
) -> bool:
    """Acts within a transaction that notes it: not done where it cannot be noted."""
    async with database.transaction() as connection:
        await write_audit(
            database,
            connection,
            SystemClock().now(),
            OPERATOR,
            f"dead-letter.{done}",
            f"message:{letter.queue}/{letter.id}",
        )
        return await act(client, letter)


def _chosen(found: list[DeadLetter], letter_id: str) -> list[DeadLetter]:
    chosen = [letter for letter in found if letter.id == letter_id]
    if not chosen:
        raise click.ClickException(f"There is no dead letter {letter_id}.")
    return chosen


def _with_redis(work: Callable[[CoalescingRedis, Settings], Awaitable[ResultT]]) -> ResultT:
    settings = load_settings(need=frozenset({"redis_url"}))

    async def main() -> ResultT:
        client = CoalescingRedis(settings.redis_url, client_name="latchkey-cli")
        try:
            return await work(client, settings)
        finally:
            await client.close()

    return asyncio.run(main())


async def _report(settings: Settings) -> _Report:
    now = SystemClock().now()
    found, error = None, None
    client = CoalescingRedis(settings.redis_url, client_name="latchkey-cli")
    try:
        found = await bus_status(client, now)
    except StoreUnavailable as unavailable:
        error = str(unavailable)
    finally:
        await client.close()
    outboxes, problems = [], {}
    for schema, url in (
        (AUTH_SCHEMA, settings.auth_api_database_url),
        (KEYS_SCHEMA, settings.key_issuer_database_url),
    ):
        if url:
            try:
                outboxes.append(await _outbox(url, schema, now))
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as problem:
                problems[schema] = f"{type(problem).__name__}: {problem}"
    return _Report(found, error, tuple(outboxes), problems)


async def _outbox(url: str, schema: str, now: int) -> OutboxStatus:
    connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS, command_timeout=CONNECT_SECONDS)
    try:
        return await outbox_status(connection, schema, now)
    finally:
        await connection.close(timeout=1)


def _summary(letter: DeadLetter) -> dict[str, Any]:
    return {
        "queue": letter.queue,
        "id": letter.id,
        "type": letter.type,
        "reason": letter.reason,
        "diedOn": letter.died_on,
    }


def _table(report: _Report) -> str:
    row = "{:<16}{:>9}{:>12}{:>9}{:>9}{:>14}{:>11}"
    lines = [row.format("stream", "backlog", "oldest ms", "pending", "delayed", "dead letters", "consumers")]
    for queue in report.bus.queues if report.bus else ():
        numbers = (queue.backlog, queue.oldest_ms, queue.pending, queue.delayed, queue.dead_letters)
        lines.append(row.format(queue.stream, *numbers, queue.consumers))
    lines += [
        f"outbox {outbox.schema}: {outbox.unpublished} events to publish, the oldest {outbox.oldest_ms} ms old"
        for outbox in report.outboxes
    ]
    lines += [f"outbox {schema}: unknown ({error})" for schema, error in report.outbox_errors.items()]
    return "\n".join([*lines, "quiet" if report.quiet else "busy"])
