"""`latchkey keys`: every key, as the operator sees it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import click

from deploy.cli.issuer_database import with_issuer, with_keys
from services.key_issuer.issuer import Issuer
from services.key_issuer.operators import describe_key, list_service_keys, search_keys
from services.key_issuer.revocation import revoke_key, revoke_service_key
from shared.clock import SystemClock
from shared.contracts.keys import RevokeKey
from shared.database import Database
from shared.settings import Settings

_REASON: Final = "revoked_by_operator"


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

    async def find(database: Database) -> list[dict[str, Any]]:
        if service:
            return await list_service_keys(database, SystemClock(), ended=ended, limit=limit)
        return await search_keys(
            database, SystemClock(), username=username, client_id=client_id, ended=ended, limit=limit
        )

    documents = with_keys(find)
    if as_json:
        click.echo(json.dumps(documents, indent=2))
        return
    for document in documents:
        click.echo(_line(document))


@keys.command()
@click.argument("key_id", metavar="KEYID")
def show(key_id: str) -> None:
    """One key and what happened to it, as JSON."""
    document = with_keys(lambda database: describe_key(database, SystemClock(), key_id))
    if document is None:
        raise _unknown(key_id)
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


@keys.command()
@click.argument("key_id", metavar="KEYID")
def revoke(key_id: str) -> None:
    """End a person's or a service's key: it is refused everywhere within a second. Safe to repeat."""

    async def end(issuer: Issuer, _settings: Settings) -> bool:
        found = await revoke_key(issuer, RevokeKey(key_id=key_id, user_id=None, reason=_REASON))
        if found.found or await revoke_service_key(issuer, key_id, _REASON):
            return True
        return await describe_key(issuer.database, issuer.clock, key_id) is not None

    if not with_issuer(end):
        raise _unknown(key_id)
    click.echo(f"{key_id} is revoked.", err=True)


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
