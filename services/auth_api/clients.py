"""The client registry: registering, changing, a new secret, and a deletion that takes everything with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from services.auth_api import endings
from services.auth_api.client import OPERATOR, Client
from services.auth_api.client_directory import is_client_id
from services.auth_api.client_fields import check_client_fields, tidied
from services.auth_api.db.repository import client_of, insert_client, write_audit, write_event
from services.auth_api.resources import Resources
from shared.api_key import mint_client_id
from shared.contracts.clients import ClientFields, FieldError
from shared.contracts.events import HoldingEnded

if TYPE_CHECKING:
    from services.auth_api.db.repository import Connection

LONGEST_OVERLAP: Final = 604_800
"""Seconds that an old secret may go on working: a week."""


class WrongFieldsError(Exception):
    """The registration breaks rules; ``errors`` names each field."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        """Keeps the errors in the order of the fields."""
        super().__init__(", ".join(error.field for error in errors))
        self.errors = tuple(errors)


class TooManyClientsError(Exception):
    """The author has registered as many clients as the site allows."""


class UnknownClientError(Exception):
    """There is no such client, or it is another author's: nobody is told which."""


class PublicClientError(Exception):
    """A public client has no secret (RFC 6749 §2.1)."""


async def create_client(
    resources: Resources,
    author_id: int,
    fields: ClientFields,
    secret_digest: str | None,
    *,
    client_id: str | None = None,
    redirect_field: str = "redirectUris",
) -> Client:
    """Registers a client; durable when it returns. ``author_id`` is an account or ``OPERATOR``.

    Only the digest of the secret comes here: whoever shows it mints it.

    Raises:
        WrongFieldsError: a field breaks a rule.
        TooManyClientsError: ``CLIENTS_PER_USER`` are registered already.
        ClientIdTakenError: the chosen id exists.
        UnknownClientError: the author's account was disabled meanwhile.
        StoreUnavailable: PostgreSQL does not answer.
    """
    tidy = _checked(resources, fields, redirect_field)
    database, now = resources.database, resources.clock.now()
    client = Client(
        client_id=client_id or mint_client_id(resources.settings.key_prefix),
        author_id=author_id,
        author_name="",
        public=tidy.public,
        secret_digest=None if tidy.public else secret_digest,
        by_operator=author_id == OPERATOR,
        requested_permissions=tidy.requested_permissions,
        created_on=now,
        **_changeable(tidy),
    )
    async with database.transaction() as connection:
        if author_id != OPERATOR:
            await _require_room(resources, connection, author_id)
        await insert_client(database, connection, client)
        await _note(resources, connection, author_id, "client.created", client.client_id, now)
        row = await connection.fetchrow(database.sql["find_client"], client.client_id)
    resources.clients.forget(client.client_id)
    assert row is not None
    return client_of(row)


async def list_own_clients(resources: Resources, author_id: int) -> tuple[Client, ...]:
    """The clients that an account registered, newest first.

    Raises:
        StoreUnavailable: PostgreSQL does not answer.
    """
    return tuple(map(client_of, await resources.database.fetch("list_clients_of", author_id)))


async def read_client(resources: Resources, client_id: str) -> Client:
    """One client as it is now, past the cache: whoever has just changed it sees the change.

    Raises:
        UnknownClientError: there is none.
        StoreUnavailable: PostgreSQL does not answer.
    """
    row = await resources.database.fetchrow("find_client", client_id) if is_client_id(client_id) else None
    if row is None:
        raise UnknownClientError
    return client_of(row)


async def read_own_client(resources: Resources, author_id: int, client_id: str) -> Client:
    """One client as it is now, to its author.

    Raises:
        UnknownClientError: unknown, or another author's.
        StoreUnavailable: PostgreSQL does not answer.
    """
    client = await read_client(resources, client_id)
    if client.author_id != author_id:
        raise UnknownClientError
    return client


async def update_client(
    resources: Resources,
    author_id: int,
    client_id: str,
    changes: dict[str, object],
    *,
    redirect_field: str = "redirectUris",
) -> Client:
    """Changes the given fields of a client (names as in ``ClientFields``); the others stay.

    Id, secret, author, ``requested_permissions`` and ``public`` never change.

    Raises:
        WrongFieldsError: the client as it would be breaks a rule.
        UnknownClientError: unknown, or another author's.
        StoreUnavailable: PostgreSQL does not answer.
    """
    database, now = resources.database, resources.clock.now()
    async with database.transaction() as connection:
        client = await _locked(resources, connection, author_id, client_id)
        fields = ClientFields.model_validate({**_fields_of(client).model_dump(), **changes})
        tidy = _checked(resources, fields, redirect_field, unchanged=client)
        changed = replace(client, **_changeable(tidy))
        await connection.execute(
            database.sql["update_client"],
            client_id,
            changed.name,
            list(changed.redirect_uris),
            changed.api_key_format,
            changed.api_key_filename,
            changed.webhook_uri,
            changed.homepage,
            changed.description,
        )
        await _note(resources, connection, author_id, "client.changed", client_id, now)
    resources.clients.forget(client_id)
    return changed


async def reset_secret(
    resources: Resources, author_id: int, client_id: str, secret_digest: str, overlap_seconds: int
) -> Client:
    """Gives a client a new secret; the one before works ``overlap_seconds`` longer, none older at all.

    Every process knows within a second.

    Raises:
        PublicClientError: it has no secret.
        UnknownClientError: unknown, or another author's.
        StoreUnavailable: PostgreSQL does not answer.
    """
    database, now = resources.database, resources.clock.now()
    until = now + overlap_seconds * 1000 if overlap_seconds else None
    async with database.transaction() as connection:
        client = await _locked(resources, connection, author_id, client_id)
        if client.public:
            raise PublicClientError
        if client.secret_digest == secret_digest:
            return client  # this very command was delivered twice
        await connection.execute(database.sql["reset_client_secret"], client_id, secret_digest, until)
        await _note(resources, connection, author_id, "client.secret-reset", client_id, now)
    resources.clients.forget(client_id)
    old = client.secret_digest if until else None
    return replace(client, secret_digest=secret_digest, old_secret_digest=old, old_secret_until=until)


async def delete_client(resources: Resources, author_id: int | None, client_id: str) -> Client | None:
    """Deletes a client; every key, code and pending request of it is dead when this returns.

    The deletion and the event that ends the keys are one transaction: if the issuer cannot be reached this raises,
    but the keys end as soon as it can, and a retry finds what is left to do (then there is no client to return).
    ``author_id`` is ``None`` for the operator, who may delete any.

    Raises:
        UnknownClientError: unknown, or another author's.
        StoreUnavailable: a store or the issuer does not answer.
    """
    if not is_client_id(client_id):
        raise UnknownClientError
    database, now = resources.database, resources.clock.now()
    ended = None
    async with database.transaction() as connection:
        row = await connection.fetchrow(database.sql["lock_own_client"], client_id, author_id)
        if row is None:
            ending = await connection.fetchrow(database.sql["find_ending_client"], client_id, author_id)
            if ending is None:
                raise UnknownClientError
            before = ending["before"]
        else:
            ended = client_of(row)
            last = await connection.fetchval(database.sql["delete_client"], client_id)
            # A consent that another process dated later than this one's clock ends too.
            before = max(now, last or 0)
            event = HoldingEnded(user_id=None, client_id=client_id, before=before, reason="client_deleted")
            author = row["author_id"]
            await connection.execute(
                database.sql["insert_ending_client"], client_id, author, ended.name, before
            )
            await write_event(database, connection, event, now)
            await _note(resources, connection, author_id, "client.deleted", client_id, now)
    resources.outbox.kick()
    resources.clients.forget(client_id)
    await endings.end_holding(
        resources, user_id=None, client_id=client_id, before=before, reason="client_deleted"
    )
    await database.execute("forget_ending_client", client_id, before)
    return ended


def _checked(
    resources: Resources, fields: ClientFields, redirect_field: str, *, unchanged: Client | None = None
) -> ClientFields:
    tidy = tidied(fields)
    # A permission that left the catalogue must not stand in the way of changing something else.
    known = [*resources.catalogue, *(unchanged.requested_permissions if unchanged else ())]
    errors = check_client_fields(tidy, known, redirect_field=redirect_field)
    if errors:
        raise WrongFieldsError(errors)
    return tidy


def _changeable(fields: ClientFields) -> dict[str, Any]:
    names = {
        "name",
        "redirect_uris",
        "api_key_format",
        "api_key_filename",
        "webhook_uri",
        "homepage",
        "description",
    }
    return fields.model_dump(include=names)


def _fields_of(client: Client) -> ClientFields:
    return ClientFields.model_validate({name: getattr(client, name) for name in ClientFields.model_fields})


async def _require_room(resources: Resources, connection: Connection, author_id: int) -> None:
    """Holds the author's row, so that two registrations at once cannot both take the last place."""
    sql = resources.database.sql
    if await connection.fetchval(sql["lock_user"], author_id) is None:
        raise UnknownClientError
    if await connection.fetchval(sql["count_clients"], author_id) >= resources.settings.clients_per_user:
        raise TooManyClientsError


async def _locked(resources: Resources, connection: Connection, author_id: int, client_id: str) -> Client:
    row = None
    if is_client_id(client_id):
        row = await connection.fetchrow(resources.database.sql["lock_own_client"], client_id, author_id)
    if row is None:
        raise UnknownClientError
    return client_of(row)


async def _note(
    resources: Resources, connection: Connection, actor_id: int | None, action: str, client_id: str, now: int
) -> None:
    actor = f"user:{actor_id}" if actor_id else "operator"
    subject = f"client:{client_id}"
    await write_audit(resources.database, connection, now=now, actor=actor, action=action, subject=subject)
