"""The client registry: registering, changing, a new secret, and a deletion that takes everything with it.

Everything here raises ``StoreUnavailable`` where PostgreSQL does not answer, and ``UnknownClientError`` for a client that is
unknown or another author's. ``author_id`` is an account. What is durable is so when a function returns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import orjson

from services.auth_api.clients.cache import is_client_id
from services.auth_api.clients.model import OPERATOR, Client, client_of
from services.auth_api.clients.validation import tidied
from services.auth_api.db.repository import named_conflicts, write_audit
from services.auth_api.resources import Resources
from services.auth_api.revocation import record_revocation, revoke_grant
from services.auth_api.webhooks.endpoints import begin_address, change_address, keep_last_address
from services.auth_api.webhooks.recording import record_revoked_grants
from shared.api_key import mint_client_id
from shared.contracts.access import DisabledWebhook
from shared.contracts.clients import Attempt, ClientFields
from shared.contracts.events import GrantRevoked
from shared.contracts.field_errors import FieldError

if TYPE_CHECKING:
    from asyncpg import Record

    from services.auth_api.db.repository import Connection


MOST_NAMED: Final = 10


class WrongFieldsError(Exception):
    """The registration breaks rules; ``errors`` names each field."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        """Keeps the errors in the order of the fields."""
        super().__init__(", ".join(error.field for error in errors))
        self.errors = tuple(errors)


class PublicClientError(WrongFieldsError):
    """A public client has no secret (RFC 6749 §2.1)."""

    def __init__(self) -> None:
        """Names the field that a public client lacks."""
        super().__init__([FieldError(field="clientSecret", detail="a public client has none")])


class TooManyClientsError(Exception):
    """The author has registered as many clients as the site allows (the argument)."""


class UnknownAuthorError(Exception):
    """The author's account was disabled meanwhile."""


class UnknownClientError(Exception):
    """There is no such client, or it is another author's: the caller does not learn which."""


async def create_client(
    resources: Resources,
    author_id: int,
    fields: ClientFields,
    secret_digest: str | None,
    *,
    client_id: str | None = None,
    self_registered: bool = False,
) -> Client:
    """Registers a client of an account or of the ``OPERATOR``.

    ``self_registered``: by a program, so that neither an author nor the operator vouches for it. Only the digest of the
    secret comes here: it is minted where it is shown.

    Raises:
        WrongFieldsError: a field breaks a rule.
        TooManyClientsError: ``CLIENTS_PER_USER`` are registered already.
        ClientIdTakenError: the chosen id exists.
        UnknownAuthorError: the author's account was disabled meanwhile.
        Throttled: the author registers too many in a short time, deleted ones too.
    """
    client = Client(
        client_id=client_id or mint_client_id(resources.settings.key_prefix),
        author=author_id,
        author_name="",
        created_on=resources.clock.now(),
        by_operator=author_id == OPERATOR and not self_registered,
        self_registered=self_registered,
        **(await _checked(resources, author_id, fields, resources.catalogue)).model_dump(),
    )
    row = client.model_dump() | {
        "author_id": None if author_id == OPERATOR else author_id,
        "secret_digest": None if fields.public else secret_digest,
    }
    if author_id != OPERATOR:
        await resources.limiter.take_of_person(author_id)
    async with resources.database.transaction() as connection:
        if author_id != OPERATOR:
            await _require_room(resources, connection, author_id)
        with named_conflicts():
            await connection.execute(resources.database.sql["insert_client"], orjson.dumps(row).decode())
        await begin_address(resources, connection, client.client_id, client.webhook_uri)
        actor = "registration" if self_registered else _actor(author_id)
        created = await _noted(resources, connection, actor, "client.created", client.client_id)
    resources.clients.invalidate(created.client_id)
    return created


async def list_own_clients(resources: Resources, author_id: int) -> tuple[Client, ...]:
    """The clients that an account registered, newest first."""
    return tuple(map(client_of, await resources.database.fetch("list_clients_of", author_id)))


async def list_disabled_webhooks(resources: Resources, author_id: int) -> tuple[DisabledWebhook, ...]:
    """The author's clients whose webhook address is disabled, at most ``MOST_NAMED``: what they have to look at."""
    rows = await resources.database.fetch("list_disabled_webhooks", author_id, MOST_NAMED)
    return tuple(DisabledWebhook(**row) for row in rows)


async def read_client(resources: Resources, client_id: str) -> Client:
    """One client as it is now, past the cache: an author sees their own change at once."""
    known = is_client_id(client_id)
    return _found(await resources.database.fetchrow("find_client", client_id) if known else None)


async def read_own_client(resources: Resources, author_id: int, client_id: str) -> Client:
    """One client as it is now, to its author."""
    client = await read_client(resources, client_id)
    if client.author != author_id:
        raise UnknownClientError
    return client


async def read_attempts(resources: Resources, author_id: int, client_id: str) -> tuple[Attempt, ...]:
    """The last attempts of an author's client, as the activity log has them; Redis has to answer too."""
    client = await resources.clients.find(client_id)
    if client is None or client.author != author_id:
        raise UnknownClientError
    return await resources.activity_log.read(client_id)


async def update_client(
    resources: Resources, author_id: int | None, client_id: str, changes: Mapping[str, object]
) -> Client:
    """Changes the given fields of a client (names as in ``ClientFields``); the others stay.

    ``author_id`` is ``None`` for the operator, who may change any client.

    Id, secret, author, ``requested_permissions`` and ``public`` never change.

    Raises:
        WrongFieldsError: the client as it would be breaks a rule.
    """
    async with resources.database.transaction() as connection:
        client = await lock_client(resources, connection, author_id, client_id)
        kept = {name: getattr(client, name) for name in ClientFields.model_fields}
        # A permission that left the catalogue must not stand in the way of changing something else.
        known = [*resources.catalogue, *client.requested_permissions]
        fields = await _checked(
            resources, author_id, ClientFields.model_validate({**kept, **changes}), known, client
        )
        row = orjson.dumps(fields.model_dump()).decode()
        await connection.execute(resources.database.sql["update_client"], client_id, row)
        if "webhook_uri" in changes:
            await change_address(resources, connection, client_id, client.webhook_uri, fields.webhook_uri)
        changed = await _noted(resources, connection, _actor(author_id), "client.changed", client_id)
    resources.clients.invalidate(client_id)
    return changed


async def reset_secret(
    resources: Resources, author_id: int, client_id: str, secret_digest: str, overlap_seconds: int
) -> Client:
    """Gives a client a new secret; the one before works ``overlap_seconds`` longer, none older at all.

    Every process knows within a second.

    Raises:
        PublicClientError: it has no secret.
    """
    until = resources.clock.now() + overlap_seconds * 1000 if overlap_seconds else None
    async with resources.database.transaction() as connection:
        client = await lock_client(resources, connection, author_id, client_id)
        if client.public:
            raise PublicClientError
        if client.secret_digest == secret_digest:
            return client  # this very command was delivered twice
        query = resources.database.sql["reset_client_secret"]
        await connection.execute(query, client_id, secret_digest, until)
        reset = await _noted(resources, connection, _actor(author_id), "client.secret-reset", client_id)
    resources.clients.invalidate(client_id)
    return reset


async def delete_client(resources: Resources, author_id: int | None, client_id: str) -> Client | None:
    """Deletes a client; every key, code and pending request of it is dead when this returns.

    The deletion and the event that ends the keys are one transaction: if the issuer cannot be reached this raises
    ``StoreUnavailable``, but the keys end as soon as it can, and a retry finds what is left to do (then there is no
    client to return). ``author_id`` is ``None`` for the operator, who may delete any.
    """
    if not is_client_id(client_id):
        raise UnknownClientError
    database = resources.database
    async with database.transaction() as connection:
        row = await connection.fetchrow(database.sql["lock_own_client"], client_id, author_id)
        if row is None:
            ending = await connection.fetchrow(database.sql["find_ending_client"], client_id, author_id)
            if ending is None:
                raise UnknownClientError
            revoked = GrantRevoked(
                user_id=None, client_id=client_id, before=ending["before"], reason="client_deleted"
            )
        else:
            now = resources.clock.now()
            await record_revoked_grants(resources, connection, "client_deleted", now, client_id=client_id)
            await keep_last_address(resources, connection, client_id, row["webhook_uri"])
            revoked = await record_revocation(
                resources,
                connection,
                "client_deleted",
                user_id=None,
                client_id=client_id,
                last_granted_on=await connection.fetchval(database.sql["delete_client"], client_id),
            )
            query = database.sql["insert_ending_client"]
            await connection.execute(query, client_id, row["author_id"], row["name"], revoked.before)
            await _note(resources, connection, _actor(author_id), "client.deleted", client_id)
    resources.clients.invalidate(client_id)
    await revoke_grant(resources, revoked)
    await resources.activity_log.forget(client_id)
    await database.execute("forget_ending_client", client_id, revoked.before)
    return None if row is None else client_of(row)


async def _checked(
    resources: Resources,
    author_id: int | None,
    fields: ClientFields,
    permissions: Collection[str],
    kept: Client | None = None,
) -> ClientFields:
    """The fields, tidied. The key file that a client has already is not judged anew: it was good when it was given."""
    tidy = judged = tidied(fields)
    if kept is not None and _key_file_of(tidy) == _key_file_of(kept):
        judged = tidy.model_copy(update={"api_key_format": None, "api_key_filename": None})
    errors = await resources.field_checker.check(_actor(author_id), judged, permissions)
    if errors:
        raise WrongFieldsError(errors)
    return tidy


def _key_file_of(client: ClientFields) -> tuple[str | None, str | None]:
    return client.api_key_format, client.api_key_filename


async def _require_room(resources: Resources, connection: Connection, author_id: int) -> None:
    """Holds the author's row, so that two registrations at once cannot both take the last place."""
    sql = resources.database.sql
    if await connection.fetchval(sql["lock_user"], author_id) is None:
        raise UnknownAuthorError
    most = resources.settings.clients_per_user
    if await connection.fetchval(sql["count_clients"], author_id) >= most:
        raise TooManyClientsError(most)


async def lock_client(
    resources: Resources, connection: Connection, author_id: int | None, client_id: str
) -> Client:
    """One client of an author (``None``: of anybody, for the operator), held while the transaction changes something of it."""
    query, known = resources.database.sql["lock_own_client"], is_client_id(client_id)
    return _found(await connection.fetchrow(query, client_id, author_id) if known else None)


def _found(row: Record | None) -> Client:
    if row is None:
        raise UnknownClientError
    return client_of(row)


def _actor(author_id: int | None) -> str:
    return f"user:{author_id}" if author_id else "operator"


async def _note(
    resources: Resources, connection: Connection, actor: str, action: str, client_id: str
) -> None:
    now = resources.clock.now()
    await write_audit(resources.database, connection, now, actor, action, f"client:{client_id}")


async def _noted(
    resources: Resources, connection: Connection, actor: str, action: str, client_id: str
) -> Client:
    """The client as the running transaction leaves it, after a line in the audit."""
    await _note(resources, connection, actor, action, client_id)
    return _found(await connection.fetchrow(resources.database.sql["find_client"], client_id))
