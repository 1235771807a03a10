"""What the operator does to accounts: lists them, sets a password, disables and enables.

Everything here raises ``StoreUnavailable`` where PostgreSQL does not answer, and ``UnknownUserError`` for a name that no
account has; then nothing happened.
"""

from __future__ import annotations

from services.auth_api.accounts.identities import list_identities
from services.auth_api.accounts.password_resets import RESET_LINK_SECONDS, mint_reset_token, reset_link
from services.auth_api.accounts.passwords import OPERATOR_PEER
from services.auth_api.db.repository import OPERATOR, write_audit
from services.auth_api.resources import Resources
from services.auth_api.revocation import record_revocation, revoke_grant
from services.auth_api.webhooks.recording import record_revoked_grants
from shared.documents import Document
from shared.secret_tokens import digest_of


class UnknownUserError(Exception):
    """There is no account of this name."""


class AccountSummary(Document):
    """An account as the operator lists it; times are Unix milliseconds."""

    user_id: int
    username: str
    created_on: int
    disabled_on: int | None
    clients: int
    """How many clients it has registered."""


class LinkedLogin(Document):
    """By which login elsewhere a person comes in."""

    issuer: str
    external_user: str


class AccountDescription(Document):
    """All that is known of an account, for the operator; times are Unix milliseconds."""

    user_id: int
    username: str
    display_name: str | None
    email: str | None
    has_password: bool
    created_on: int
    disabled_on: int | None
    logins: list[LinkedLogin]
    """The first one goes with the keys that are made."""


async def describe_account(resources: Resources, username: str) -> AccountDescription:
    """One account, with the logins elsewhere that lead to it."""
    row = await resources.database.fetchrow("describe_user", username)
    if row is None:
        raise UnknownUserError(username)
    linked = await list_identities(resources, row["user_id"])
    logins = [LinkedLogin(issuer=login.issuer, external_user=login.subject) for login in linked]
    return AccountDescription(**row, logins=logins)


async def list_accounts(resources: Resources) -> tuple[AccountSummary, ...]:
    """All accounts, oldest first."""
    return tuple(AccountSummary(**row) for row in await resources.database.fetch("list_users"))


async def set_password(resources: Resources, username: str, password: str) -> None:
    """Gives an account a new (well-formed) password; every session of it is dead when this returns."""
    password_hash = await resources.passwords.hash(password, OPERATOR_PEER)
    await _change(resources, "set_password", "user.password-set", username, password_hash)


async def make_password_reset(resources: Resources, username: str) -> str:
    """A link with which the person sets a new password, once, within ``RESET_LINK_SECONDS``; an older one leads nowhere.

    Only the digest of what the link holds is kept. Until the link is used nothing ends and the old password works.
    """
    token, now = mint_reset_token(), resources.clock.now()
    expires_on = now + RESET_LINK_SECONDS * 1000
    await _change(
        resources, "keep_password_reset", "user.reset-link-made", username, digest_of(token), now, expires_on
    )
    return reset_link(resources.settings, token)


async def enable_user(resources: Resources, username: str) -> None:
    """Lets the account sign in again; what died when it was disabled stays dead."""
    await _change(resources, "enable_user", "user.enabled", username)


async def disable_user(resources: Resources, username: str) -> None:
    """Ends an account: no sign-in; every session, key, code and pending request of it is dead when this returns.

    The change and the event that ends the keys are one transaction: where this raises after it, they end as soon as
    the services run again, and a retry does no harm.

    Raises:
        StoreUnavailable: a store or the issuer does not answer.
    """
    database, now = resources.database, resources.clock.now()
    async with database.transaction() as connection:
        row = await connection.fetchrow(database.sql["disable_user"], username, now)
        if row is None:
            raise UnknownUserError(username)
        user_id = row["user_id"]
        await record_revoked_grants(resources, connection, "user_disabled", now, user_ids=(user_id,))
        revoked = await record_revocation(
            resources,
            connection,
            "user_disabled",
            user_id=user_id,
            client_id=None,
            last_granted_on=await connection.fetchval(database.sql["delete_grants"], user_id, None),
        )
        await write_audit(database, connection, now, OPERATOR, "user.disabled", f"user:{user_id}")
    await revoke_grant(resources, revoked)


async def _change(resources: Resources, query: str, action: str, username: str, *args: object) -> None:
    database = resources.database
    async with database.transaction() as connection:
        user_id = await connection.fetchval(database.sql[query], username, *args)
        if user_id is None:
            raise UnknownUserError(username)
        await write_audit(database, connection, resources.clock.now(), OPERATOR, action, f"user:{user_id}")
