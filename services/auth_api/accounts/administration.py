"""The operator's switches on an account: a new password, disabled, enabled again; and the list of accounts."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth_api import revocation
from services.auth_api.db.repository import write_audit, write_event
from services.auth_api.resources import Resources
from shared.contracts.events import GrantRevoked

OPERATOR = "operator"
"""Who did it, in the audit."""


class UnknownUserError(Exception):
    """There is no account of this name."""


@dataclass(frozen=True, slots=True)
class AccountSummary:
    """An account as the operator lists it; times are Unix milliseconds."""

    user_id: int
    username: str
    created_on: int
    disabled_on: int | None
    clients: int
    """How many clients it has registered."""


async def list_accounts(resources: Resources) -> tuple[AccountSummary, ...]:
    """All accounts, oldest first.

    Raises:
        StoreUnavailable: PostgreSQL does not answer.
    """
    rows = await resources.database.fetch("list_users")
    return tuple(AccountSummary(**row) for row in rows)


async def set_password(resources: Resources, username: str, password: str) -> None:
    """Gives an account a new (well-formed) password; every session of it is dead when this returns.

    Raises:
        UnknownUserError: no such account.
        StoreUnavailable: PostgreSQL does not answer.
    """
    password_hash = await resources.passwords.hash(password)
    await _switch(resources, "set_password", "user.password-set", username, password_hash)


async def enable_user(resources: Resources, username: str) -> None:
    """Lets the account sign in again; what died when it was disabled stays dead.

    Raises:
        UnknownUserError: no such account.
        StoreUnavailable: PostgreSQL does not answer.
    """
    await _switch(resources, "enable_user", "user.enabled", username)


async def disable_user(resources: Resources, username: str) -> None:
    """Ends an account: no sign-in; every session, key, code and pending request of it is dead when this returns.

    The switch and the event that ends the keys are one transaction: where this raises after it, they end as soon as
    the services run again, and a retry does no harm.

    Raises:
        UnknownUserError: no such account; nothing happened.
        StoreUnavailable: a store or the issuer does not answer.
    """
    database, now = resources.database, resources.clock.now()
    async with database.transaction() as connection:
        row = await connection.fetchrow(database.sql["disable_user"], username, now)
        if row is None:
            raise UnknownUserError(username)
        # A consent that another process dated later than this one's clock ends too.
        before = max(now, row["last_granted_on"] or 0)
        user_id = row["user_id"]
        event = GrantRevoked(user_id=user_id, client_id=None, before=before, reason="user_disabled")
        await write_event(database, connection, event, now)
        await write_audit(
            database, connection, now=now, actor=OPERATOR, action="user.disabled", subject=f"user:{user_id}"
        )
    await revocation.revoke_grant(
        resources, user_id=user_id, client_id=None, before=before, reason="user_disabled"
    )


async def _switch(resources: Resources, query: str, action: str, username: str, *args: object) -> None:
    database = resources.database
    async with database.transaction() as connection:
        user_id = await connection.fetchval(database.sql[query], username, *args)
        if user_id is None:
            raise UnknownUserError(username)
        subject = f"user:{user_id}"
        await write_audit(
            database,
            connection,
            now=resources.clock.now(),
            actor=OPERATOR,
            action=action,
            subject=subject,
        )
