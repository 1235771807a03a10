"""`latchkey keys` and `latchkey service-key`: every key as the operator sees it, and keys for resource servers."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import click

from services.key_issuer.db.repository import PLANS, QUERIES, SCHEMA
from services.key_issuer.issuer import Issuer
from services.key_issuer.operators import (
    SERVICE_PERMISSIONS,
    describe_key,
    keep_service_key,
    list_service_keys,
    revoke_all_keys,
    search_keys,
)
from services.key_issuer.revocation import revoke_key, revoke_service_key
from services.key_issuer.verification import KeyCache
from shared.api_key import SERVICE_KEY, MintedKey, mint_key
from shared.clock import SystemClock
from shared.contracts.keys import RevokeKey
from shared.database import Database, load_queries
from shared.secret_tokens import Peppers
from shared.settings import Settings, load_settings
from shared.telemetry.logs import configure_logging

ResultT = TypeVar("ResultT")

_REASON: Final = "revoked_by_operator"
_PEPPERS: Final = "key_peppers"


@click.group()
def keys() -> None:
    """List, show and revoke keys. Needs LATCHKEY_DATABASE_URL (see `latchkey env`)."""


@keys.command("list")
@click.option("--user", "username", help="Only keys of this person.")
@click.option("--client", "client_id", help="Only keys of this client.")
@click.option("--service", is_flag=True, help="Service keys instead of people's.")
@click.option("--all", "ended", is_flag=True, help="Revoked ones too.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=200, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def list_keys(
    *, username: str | None, client_id: str | None, service: bool, ended: bool, limit: int, as_json: bool
) -> None:
    """Keys, newest first."""

    async def find(database: Database, _settings: Settings) -> list[dict[str, Any]]:
        if service:
            return await list_service_keys(database, SystemClock(), ended=ended, limit=limit)
        return await search_keys(
            database, SystemClock(), username=username, client_id=client_id, ended=ended, limit=limit
        )

    documents = _run(find)
    if as_json:
        click.echo(json.dumps(documents, indent=2))
        return
    for document in documents:
        click.echo(_line(document))


@keys.command()
@click.argument("key_id", metavar="KEYID")
def show(key_id: str) -> None:
    """One key and what happened to it, as JSON."""
    document = _run(lambda database, _settings: describe_key(database, SystemClock(), key_id))
    if document is None:
        raise _unknown(key_id)
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


@keys.command()
@click.argument("key_id", metavar="[KEYID]", required=False)
@click.option("--user", "username", help="Instead of one key: all keys of this person.")
@click.option("--client", "client_id", help="Instead of one key: all keys of this client.")
def revoke(*, key_id: str | None, username: str | None, client_id: str | None) -> None:
    """End a person's or a service's key, or all keys of a person or client (with both options: of the one for the other).

    They are refused everywhere within a second. Safe to repeat.
    """
    if (key_id is None) == (username is None and client_id is None):
        raise click.UsageError("Name one key, or a person or client with --user and --client.")
    if key_id is not None:
        _revoke_one(key_id)
    else:
        _revoke_all(username, client_id)


def _revoke_all(username: str | None, client_id: str | None) -> None:
    ended = _run(
        lambda database, settings: revoke_all_keys(
            _issuer(database, settings), _REASON, username=username, client_id=client_id
        ),
        _PEPPERS,
    )
    if ended is None:
        raise click.ClickException("There is no such key.")
    click.echo(f"{ended} keys are revoked.", err=True)


def _revoke_one(key_id: str) -> None:
    async def end(database: Database, settings: Settings) -> bool:
        issuer = _issuer(database, settings)
        found = await revoke_key(issuer, RevokeKey(key_id=key_id, user_id=None, reason=_REASON))
        if found.found or await revoke_service_key(issuer, key_id, _REASON):
            return True
        return await describe_key(database, issuer.clock, key_id) is not None

    if not _run(end, _PEPPERS):
        raise _unknown(key_id)
    click.echo(f"{key_id} is revoked.", err=True)


@click.group("service-key")
def service_key() -> None:
    """Make keys for resource servers. Needs LATCHKEY_DATABASE_URL and LATCHKEY_KEY_PEPPER (see `latchkey env`)."""


@service_key.command()
@click.option("--name", required=True, help="Whose key it is, for you.")
@click.option(
    "--permission",
    "permissions",
    type=click.Choice(SERVICE_PERMISSIONS),
    multiple=True,
    required=True,
    help="What it may do; give it again for more.",
)
def create(name: str, permissions: tuple[str, ...]) -> None:
    """Make a service key and print it, once: only its digest is kept."""
    if not name.strip() or not name.isprintable():
        raise click.UsageError("The name must be printable and not empty.")

    minted = make_service_key(name.strip(), permissions)
    click.echo(f"The id of this key is {minted.key_id}; `latchkey keys revoke` ends it.", err=True)
    click.echo(minted.token)


def make_service_key(
    name: str, permissions: Sequence[str], environ: Mapping[str, str] = os.environ
) -> MintedKey:
    """A new service key, which only the caller ever sees; ``environ`` names the database, the pepper and the site."""

    async def make(database: Database, settings: Settings) -> MintedKey:
        minted = mint_key(settings.key_prefix, SERVICE_KEY, settings.public_url)
        await keep_service_key(_issuer(database, settings), minted, name, tuple(dict.fromkeys(permissions)))
        return minted

    return _run(make, _PEPPERS, environ=environ)


def _run(
    work: Callable[[Database, Settings], Awaitable[ResultT]],
    *needed: str,
    environ: Mapping[str, str] = os.environ,
) -> ResultT:
    """Runs ``work`` on the database of the keys, with the settings ``needed`` besides its address."""
    settings = load_settings(environ, need=frozenset({"key_issuer_database_url", *needed}))
    configure_logging(level="error", log_format=settings.log_format, service="cli")

    async def main() -> ResultT:
        database = Database(
            settings.key_issuer_database_url,
            schema=SCHEMA,
            queries=load_queries(QUERIES),
            application_name="latchkey-cli",
            pool_size=1,
            parameters=PLANS,
        )
        try:
            return await work(database, settings)
        finally:
            await database.stop()

    return asyncio.run(main())


def _issuer(database: Database, settings: Settings) -> Issuer:
    """What makes and ends keys; running services hear of it by their outbox."""
    clock = SystemClock()
    return Issuer(database, clock, Peppers(settings.key_peppers), KeyCache(clock.monotonic))


def _line(document: dict[str, Any]) -> str:
    owner = document.get("username") or document.get("service") or ""
    client = document.get("fromAPIClient") or "-"
    used = _moment(document["lastUsedOn"]) if document["lastUsedOn"] else "never used"
    return "  ".join(
        (
            document["keyID"],
            f"{document['status']:<8}",
            f"{owner:<30}",
            f"{client:<20}",
            _moment(document["createdOn"]),
            f"{used:<16}",
            " ".join(document["permissions"]),
        )
    )


def _moment(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M}"


def _unknown(key_id: str) -> click.ClickException:
    return click.ClickException(f"There is no key {key_id}.")
