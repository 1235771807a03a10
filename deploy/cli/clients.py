"""`latchkey clients`: the client registry as the operator sees it, and the operator's own clients."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from deploy.cli.auth_resources import ENDS_LATER, with_auth
from services.auth_api.clients.model import OPERATOR, Client, client_of
from services.auth_api.clients.registry import (
    UnknownClientError,
    WrongFieldsError,
    create_client,
    delete_client,
    read_client,
    update_client,
)
from services.auth_api.clients.validation import CHOSEN_ID
from services.auth_api.db.repository import ClientIdTakenError
from services.auth_api.handlers.documents import ClientDocument, WebhookKeyDocument
from services.auth_api.resources import Resources
from services.auth_api.webhooks.console import MOST_LISTED, list_deliveries, read_endpoint
from services.auth_api.webhooks.keys import live_keys, rotate_keys
from services.auth_api.webhooks.signing import WebhookKey
from shared.api_key import mint_client_secret
from shared.contracts.clients import ClientFields
from shared.documents import public_name
from shared.errors import StoreUnavailable
from shared.secret_tokens import digest_of


@click.group()
def clients() -> None:
    """Create, list, show, mend and delete clients. Needs LATCHKEY_DATABASE_URL (see `latchkey env`)."""


@clients.command()
@click.option("--id", "client_id", help="A chosen id: 3 to 64 of A-Z, a-z, 0-9, _ and -.")
@click.option("--name", required=True, help="What people read on the consent page.")
@click.option("--redirect-uri", "redirect_uris", multiple=True, help="May be given up to ten times.")
@click.option("--permission", "permissions", multiple=True, required=True, help="May be given several times.")
@click.option("--api-key-format", help="The key file's template, with %%API_KEY%% in it once.")
@click.option(
    "--api-key-format-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The same, from a file.",
)
@click.option("--api-key-filename", help="What the key file is called.")
@click.option("--webhook-uri", help="Where the client hears of its keys.")
@click.option("--homepage", help="Where people read about it.")
@click.option("--description", help="What it does, in a sentence.")
@click.option("--public", is_flag=True, help="It can keep no secret: PKCE is required instead.")
def create(client_id: str | None, api_key_format_file: Path | None, **given: Any) -> None:
    """Register a client of the operator's. Prints it as JSON, with its secret, this once."""
    if client_id is not None and not CHOSEN_ID.fullmatch(client_id):
        raise click.UsageError("--id must be 3 to 64 of A-Z, a-z, 0-9, _ and -.")
    if api_key_format_file is not None:
        if given["api_key_format"] is not None:
            raise click.UsageError("Give --api-key-format or --api-key-format-file, not both.")
        given["api_key_format"] = _text_of(api_key_format_file)
    fields = ClientFields(requested_permissions=given.pop("permissions"), **given)

    async def work(resources: Resources) -> dict[str, Any]:
        secret = None if fields.public else mint_client_secret(resources.settings.key_prefix)
        digest = None if secret is None else digest_of(secret)
        client = await create_client(resources, OPERATOR, fields, digest, client_id=client_id)
        return ClientDocument.of(client, client_secret=secret)

    try:
        document = with_auth(work)
    except WrongFieldsError as error:
        raise click.UsageError("\n".join(f"{each.field}: {each.detail}." for each in error.errors)) from None
    except ClientIdTakenError:
        raise click.ClickException(f"There is a client {client_id} already.") from None
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


@clients.command("list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def list_clients(*, as_json: bool) -> None:
    """Every client, newest first."""

    async def work(resources: Resources) -> list[Client]:
        return [client_of(row) for row in await resources.database.fetch("list_clients")]

    found = with_auth(work)
    if as_json:
        click.echo(json.dumps([_document(client) for client in found], indent=2, ensure_ascii=False))
        return
    for client in found:
        click.echo(f"{client.client_id:<24}  {client.name}  ({client.author_name})")


@clients.command()
@click.argument("client_id", metavar="ID")
def show(client_id: str) -> None:
    """One client as JSON, without its secret."""
    try:
        client = with_auth(lambda resources: read_client(resources, client_id))
    except UnknownClientError:
        raise _unknown(client_id) from None
    click.echo(json.dumps(_document(client), indent=2, ensure_ascii=False))


@clients.command()
@click.argument("client_id", metavar="ID")
@click.option(
    "--most", type=click.IntRange(1, MOST_LISTED), default=20, show_default=True, help="Deliveries."
)
def webhooks(client_id: str, most: int) -> None:
    """How a client's webhook address fares, and its last deliveries, newest first, as JSON."""

    async def work(resources: Resources) -> dict[str, Any]:
        client = await read_client(resources, client_id)
        endpoint = await read_endpoint(resources, client)
        deliveries = await list_deliveries(resources, client, limit=most)
        return {
            **_public(endpoint.model_dump()),
            "deliveries": [_public(each.model_dump(exclude={"number"})) for each in deliveries],
        }

    try:
        document = with_auth(work)
    except UnknownClientError:
        raise _unknown(client_id) from None
    click.echo(json.dumps(document, indent=2))


@clients.command("set-webhook")
@click.argument("client_id", metavar="ID")
@click.argument("address", required=False)
@click.option(
    "--clear", is_flag=True, help="Instead of an address: tell it nothing any more; what waits is dropped."
)
def set_webhook(client_id: str, address: str | None, clear: bool) -> None:
    """Set where a client hears of its keys; also the same address again, where it was disabled."""
    if clear == (address is not None):
        raise click.UsageError("Give an ADDRESS or --clear.")
    changes = {"webhook_uri": address}
    try:
        client = with_auth(lambda resources: update_client(resources, None, client_id, changes))
    except UnknownClientError:
        raise _unknown(client_id) from None
    except WrongFieldsError as error:
        raise click.UsageError("\n".join(f"{each.field}: {each.detail}." for each in error.errors)) from None
    click.echo(
        f"{client_id} hears of its keys at {client.webhook_uri}."
        if address
        else f"{client_id} hears nothing.",
        err=True,
    )


@clients.command("webhook-keys")
@click.argument("client_id", metavar="ID")
def list_webhook_keys(client_id: str) -> None:
    """The keys that sign a client's webhooks, newest first, as JSON. Needs LATCHKEY_SECRET too."""

    async def work(resources: Resources) -> list[WebhookKey]:
        await read_client(resources, client_id)
        return await live_keys(resources, client_id)

    _print_keys(client_id, work)


@clients.command("rotate-webhook-keys")
@click.argument("client_id", metavar="ID")
@click.option(
    "--overlap-seconds",
    type=click.IntRange(0, 604_800),
    default=86_400,
    show_default=True,
    help="How long the old keys sign beside the new ones.",
)
def rotate_webhook_keys(client_id: str, overlap_seconds: int) -> None:
    """Replace the keys that sign a client's webhooks; prints those that are live then. Needs LATCHKEY_SECRET too."""
    request = f"command {secrets.token_hex(16)}"
    _print_keys(
        client_id, lambda resources: rotate_keys(resources, None, client_id, overlap_seconds, request)
    )


@clients.command()
@click.argument("client_id", metavar="ID")
def delete(client_id: str) -> None:
    """Delete a client; every key, code and pending request of it is dead. Safe to repeat."""
    try:
        with_auth(lambda resources: delete_client(resources, None, client_id), bus=True)
    except UnknownClientError:
        raise _unknown(client_id) from None
    except StoreUnavailable as error:
        if error.store == "postgres":
            raise
        click.echo(f"{client_id} is deleted. {ENDS_LATER}", err=True)
        return
    click.echo(f"{client_id} is deleted.", err=True)


def _print_keys(client_id: str, work: Callable[[Resources], Awaitable[list[WebhookKey]]]) -> None:
    try:
        keys = with_auth(work, secrets=True)
    except UnknownClientError:
        raise _unknown(client_id) from None
    click.echo(json.dumps({"keys": [WebhookKeyDocument.of(key) for key in keys]}, indent=2))


def _document(client: Client) -> dict[str, Any]:
    more = client.model_dump(by_alias=True, include={"author_name", "by_operator", "self_registered"})
    return ClientDocument.of(client) | more


def _public(fields: dict[str, Any]) -> dict[str, Any]:
    """By their names outside: ``keyID``, ``lastTriedOn``."""
    return {public_name(name): value for name, value in fields.items()}


def _text_of(path: Path) -> str:
    """The file's text with its own line ends: programs on Windows may insist on them."""
    try:
        return path.read_bytes().decode()
    except ValueError:
        raise click.UsageError(f"{path} is no UTF-8 text.") from None


def _unknown(client_id: str) -> click.ClickException:
    return click.ClickException(f"There is no client {client_id}.")
