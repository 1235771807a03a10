"""Accounts: signing up and checking a password.

Everything here raises ``StoreUnavailable`` where PostgreSQL or Redis does not answer, or too many passwords are being
hashed right now.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from services.auth_api.accounts.passwords import LONGEST_PASSWORD, OPERATOR_PEER, SHORTEST_PASSWORD
from services.auth_api.db.repository import named_conflicts, write_audit
from services.auth_api.rate_limit import SIGN_IN_ACCOUNT, SIGN_IN_PEER, Limit
from services.auth_api.resources import Resources
from shared.contracts.sessions import SessionUser
from shared.secret_tokens import keyed_digest

LONGEST_USERNAME: Final = 30
USERNAME: Final = re.compile(rf"[A-Za-z0-9_-]{{3,{LONGEST_USERNAME}}}", re.ASCII)
FAMILIAR_SECONDS: Final = 30 * 24 * 3600
"""How long a peer from which a person signed in stays familiar."""
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Account:
    """An account that may act now."""

    user_id: int
    username: str
    session_epoch: int
    """Counts what ends every session at once: a new password, being disabled."""
    display_name: str | None = None
    external_issuer: str | None = None
    """Who gives the person the id ``external_user``; ``None`` for an account that is only ours."""
    external_user: str | None = None

    def to_session_user(self) -> SessionUser:
        """The person as pages know them."""
        return SessionUser(
            user_id=self.user_id,
            username=self.username,
            display_name=self.display_name,
            external_issuer=self.external_issuer,
            external_user=self.external_user,
        )


def typed_username(text: str) -> str:
    """What a person typed as a username: an input method may give it in full width, NFKC makes that plain.

    No account's name is changed by it: those are ASCII. What is too long stays as it is, for it becomes no shorter.
    """
    return unicodedata.normalize("NFKC", text) if len(text) <= LONGEST_USERNAME else text


def username_problem(username: str) -> str | None:
    """Why this cannot be a username, or ``None``."""
    if not USERNAME.fullmatch(username):
        return "must be 3 to 30 of A-Z, a-z, 0-9, _ and -"
    return None


def password_problem(password: str) -> str | None:
    """Why this cannot be a new password, or ``None``."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        return f"must be {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters long"
    return None


async def sign_up(resources: Resources, username: str, password: str, peer: str) -> Account:
    """Makes an account; both values are well-formed.

    Raises:
        Throttled: the peer has signed up too often in this hour.
        UsernameTakenError: the name is taken, ignoring case.
    """
    limit = resources.settings.sign_up_limit
    await resources.limiter.take(Limit("sign-up", burst=limit, interval_ms=_HOUR_MS // limit), peer)
    account = await create_account(resources, username, password, actor="sign-up", peer=peer)
    await _become_familiar(resources, username.lower(), peer)
    return account


async def create_account(
    resources: Resources, username: str, password: str, *, actor: str, peer: str | None = None
) -> Account:
    """Adds an account without asking any limit; both values are well-formed. Without ``peer`` it is the command line's.

    Raises:
        UsernameTakenError: the name is taken, ignoring case.
    """
    password_hash = await resources.passwords.hash(password, peer or OPERATOR_PEER)
    now, database = resources.clock.now(), resources.database
    async with database.transaction() as connection:
        with named_conflicts():
            user_id = await connection.fetchval(database.sql["insert_user"], username, password_hash, now)
        await write_audit(database, connection, now, actor, "user.created", f"user:{user_id}")
    return Account(user_id, username, 0)


async def sign_in(resources: Resources, username: str, password: str, peer: str) -> Account | None:
    """The account behind a username and its password; ``None`` for every kind of wrong, which all look the same.

    Raises:
        Throttled: this username or this peer has been wrong too often, whether or not this try is right.
    """
    if not resources.settings.throttle:
        return await _verified(resources, username, password, peer)
    name = username.lower()
    # Where the person has signed in before, only failures made there count against them.
    counted = f"{name} {peer}" if await _is_familiar(resources, name, peer) else name
    limiter = resources.limiter
    async with resources.sign_ins.acquire(counted):
        await limiter.check(SIGN_IN_ACCOUNT, counted)
        await limiter.check(SIGN_IN_PEER, peer)
        account = await _verified(resources, username, password, peer)
        if account is None:
            await limiter.note_failure(SIGN_IN_ACCOUNT, counted)
            await limiter.note_failure(SIGN_IN_PEER, peer)
            return None
    await _become_familiar(resources, name, peer)
    return account


async def find_active_user(resources: Resources, user_id: int) -> Account | None:
    """The account with this id unless it is unknown or disabled."""
    row = await resources.database.fetchrow("find_user", user_id)
    if row is None or row["disabled_on"] is not None:
        return None
    return Account(
        user_id=row["user_id"],
        username=row["username"],
        session_epoch=row["session_epoch"],
        display_name=row["display_name"],
        external_issuer=row["external_issuer"],
        external_user=row["external_user"],
    )


async def _verified(resources: Resources, username: str, password: str, peer: str) -> Account | None:
    """Compares the password on every path, with a dummy where there is nothing to compare with."""
    row = None
    if USERNAME.fullmatch(username):
        row = await resources.database.fetchrow("find_user_by_name", username)
    known_hash = None if row is None else row["password_hash"]
    right = await resources.passwords.verify(known_hash, password, peer)
    if row is None or not right or row["disabled_on"] is not None:
        return None
    if resources.passwords.is_outdated(row["password_hash"]):
        upgraded = await resources.passwords.hash(password, peer)
        await resources.database.execute(
            "upgrade_password_hash", row["user_id"], row["password_hash"], upgraded
        )
    return Account(row["user_id"], row["username"], row["session_epoch"])


def _familiar_name(resources: Resources, name: str, peer: str) -> str:
    return f"lk:familiar:{keyed_digest(resources.settings.secret, 'familiar', name, peer)[:32]}"


async def _is_familiar(resources: Resources, name: str, peer: str) -> bool:
    """Whether this person has signed in from this peer before: then strangers' failures do not lock them out."""
    return bool(await resources.bus.redis.execute("EXISTS", _familiar_name(resources, name, peer)))


async def _become_familiar(resources: Resources, name: str, peer: str) -> None:
    if resources.settings.throttle:
        key = _familiar_name(resources, name, peer)
        await resources.bus.redis.execute("SET", key, "1", "EX", FAMILIAR_SECONDS)
