"""Accounts: signing up and checking a password.

Everything here raises ``StoreUnavailable`` where PostgreSQL or Redis does not answer, or too many passwords are being
hashed right now.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from services.auth_api.accounts.common_passwords import folded, is_common
from services.auth_api.accounts.passwords import LONGEST_PASSWORD, OPERATOR_PEER, SHORTEST_PASSWORD
from services.auth_api.audit import ANONYMOUS, UNKNOWN, RepeatedAct, count_act, own_act
from services.auth_api.db.repository import named_conflicts, write_audit
from services.auth_api.rate_limit import SIGN_IN_ACCOUNT, SIGN_IN_PEER, Limit
from services.auth_api.resources import Resources
from shared.contracts.sessions import SessionUser
from shared.secret_tokens import keyed_digest

LONGEST_USERNAME: Final = 30
USERNAME: Final = re.compile(rf"[A-Za-z0-9_-]{{3,{LONGEST_USERNAME}}}", re.ASCII)
FAMILIAR_SECONDS: Final = 30 * 24 * 3600
"""How long a peer from which a person signed in stays familiar."""
MOST_FAMILIAR: Final = 50
"""Peers that are familiar to one account, the newest of them."""
_HOUR_MS: Final = 3_600_000
COMMON: Final = "is one of the most common passwords, which guessers try first"
IS_THE_NAME: Final = "must not be the username"


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


class WrongPasswordError(Exception):
    """A password was given that does not open the account; ``cause`` is for the audit alone."""

    def __init__(self, subject: str, cause: str) -> None:
        """``subject`` is whose it would be, as the audit names them."""
        super().__init__(cause)
        self.subject = subject
        self.cause = cause


class UnfitPasswordError(Exception):
    """The new password cannot be one; the message says why, and nothing was changed."""


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


def password_problem(username: str, password: str) -> str | None:
    """Why this cannot be a new password of the account, or ``None``; not on the loop, for it may have to read a list."""
    return _plain_password_problem(username, password) or (COMMON if is_common(password) else None)


async def new_password_problem(resources: Resources, username: str, password: str, peer: str) -> str | None:
    """The same on the loop, for a peer.

    Raises:
        PasswordsBusy: too many passwords of this peer wait.
    """
    plain = _plain_password_problem(username, password)
    return plain or await resources.passwords.in_turn(peer, partial(password_problem, username, password))


def _plain_password_problem(username: str, password: str) -> str | None:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        return f"must be {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters long"
    return IS_THE_NAME if folded(password) == folded(username) else None


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
        await write_audit(database, connection, now, actor, "user.created", f"user:{user_id}", peer=peer)
    return Account(user_id, username, 0)


async def sign_in(resources: Resources, username: str, password: str, peer: str) -> Account | None:
    """The account behind a username and its password; ``None`` for every kind of wrong, which all look the same.

    Either outcome is in the audit when this returns; what a limit refuses was not looked at.

    Raises:
        Throttled: this username or this peer has been wrong too often, whether or not this try is right.
    """
    name = username.lower()
    # Where the person has signed in before, only failures made there count against them. Nobody can type a NUL: no name
    # that is tried counts as somebody's familiar peer.
    familiar = resources.settings.throttle and await _is_familiar(resources, name, peer)
    try:
        async with limited_guess(resources, f"{name}\0{peer}" if familiar else name, peer):
            account = await _verified(resources, username, password, peer)
    except WrongPasswordError as wrong:
        await count_act(
            resources, RepeatedAct(ANONYMOUS, "session.refused", wrong.subject, peer, wrong.cause)
        )
        return None
    await count_act(resources, own_act(account.user_id, "session.started", peer))
    await _become_familiar(resources, name, peer)
    return account


@asynccontextmanager
async def limited_guess(resources: Resources, counted: str, peer: str) -> AsyncIterator[None]:
    """Around the check of one password: one at a time for what is ``counted``, and a wrong one counts for it and the peer.

    Raises:
        Throttled: there were too many wrong ones; nothing was checked.
    """
    if not resources.settings.throttle:
        yield
        return
    limiter = resources.limiter
    async with resources.sign_ins.acquire(counted):
        await limiter.check(SIGN_IN_ACCOUNT, counted)
        await limiter.check(SIGN_IN_PEER, peer)
        try:
            yield
        except WrongPasswordError:
            await limiter.note_failure(SIGN_IN_ACCOUNT, counted)
            await limiter.note_failure(SIGN_IN_PEER, peer)
            raise


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


async def _verified(resources: Resources, username: str, password: str, peer: str) -> Account:
    """Compares the password on every path, with a dummy where there is nothing to compare with."""
    row = None
    if USERNAME.fullmatch(username):
        row = await resources.database.fetchrow("find_user_by_name", username)
    known_hash = None if row is None else row["password_hash"]
    right = await resources.passwords.verify(known_hash, password, peer)
    if row is None:
        raise WrongPasswordError(UNKNOWN, "no account")
    if not right or row["disabled_on"] is not None:
        raise WrongPasswordError(f"user:{row['user_id']}", "disabled" if right else "wrong password")
    if resources.passwords.is_outdated(row["password_hash"]):
        upgraded = await resources.passwords.hash(password, peer)
        await resources.database.execute(
            "upgrade_password_hash", row["user_id"], row["password_hash"], upgraded
        )
    return Account(row["user_id"], row["username"], row["session_epoch"])


def _familiar_peers(resources: Resources, name: str) -> str:
    return f"lk:familiar-peers:{keyed_digest(resources.settings.secret, 'familiar', name)[:32]}"


def _familiar_peer(resources: Resources, name: str, peer: str) -> str:
    return keyed_digest(resources.settings.secret, "familiar", name, peer)[:32]


async def _is_familiar(resources: Resources, name: str, peer: str) -> bool:
    """Whether this person has signed in from this peer before: then strangers' failures do not lock them out."""
    signed_in_on = await resources.bus.redis.execute(
        "ZSCORE", _familiar_peers(resources, name), _familiar_peer(resources, name, peer)
    )
    return signed_in_on is not None and float(signed_in_on) > resources.clock.now() - FAMILIAR_SECONDS * 1000


async def _become_familiar(resources: Resources, name: str, peer: str) -> None:
    if resources.settings.throttle:
        redis, peers = resources.bus.redis, _familiar_peers(resources, name)
        await redis.execute("ZADD", peers, resources.clock.now(), _familiar_peer(resources, name, peer))
        await redis.execute("ZREMRANGEBYRANK", peers, 0, -MOST_FAMILIAR - 1)
        await redis.execute("EXPIRE", peers, FAMILIAR_SECONDS)
