"""People whom the site or an OpenID provider signs in: their account is found by the id that they have there.

Two people are never joined: an identity is an issuer and an id together, compared byte for byte, and neither a name nor
an e-mail address is ever looked up.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from dataclasses import dataclass
from typing import Final

from services.auth_api.accounts.service import LONGEST_USERNAME, Account
from services.auth_api.db.repository import (
    IdentityTakenError,
    UsernameTakenError,
    named_conflicts,
    write_audit,
)
from services.auth_api.resources import Resources
from shared.errors import StoreUnavailable

SITE: Final = "site"
"""The issuer of every id that the site itself gives, by its login or its proxy's header."""
LONGEST_ID: Final = 255
"""In code points."""
_NOT_IN_A_USERNAME: Final = re.compile(r"[^A-Za-z0-9_-]+", re.ASCII)
CONTROL: Final = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")
_SHORTEST_USERNAME: Final = 3
_NAMELESS: Final = "user"
_SUFFIX_BYTES: Final = 3
_TRIES: Final = 8


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is to the site."""

    issuer: str
    """``site``, or the ``iss`` of an OpenID provider."""
    subject: str
    """The id there."""


@dataclass(frozen=True, slots=True)
class Introduction:
    """What whoever signs a person in says of them: shown as it is given, and never used to find an account."""

    username: str | None = None
    display_name: str | None = None
    email: str | None = None


class AccountDisabledError(Exception):
    """The person has an account here, and it is disabled."""


def external_id_problem(text: str) -> str | None:
    """Why this cannot be an id that a site gives a person, or ``None``."""
    if not 0 < len(text) <= LONGEST_ID or CONTROL.search(text):
        return f"must be 1 to {LONGEST_ID} characters, none of them a control character"
    return None


async def account_of(resources: Resources, identity: Identity, introduction: Introduction) -> Account:
    """The account of this identity, made now where there is none; what is said of the person is kept.

    Raises:
        AccountDisabledError: it may not sign in.
        StoreUnavailable: PostgreSQL does not answer.
    """
    for _ in range(_TRIES):
        account = await _find(resources, identity, introduction)
        if account is not None:
            return account
        try:
            return await _create(resources, identity, introduction)
        except IdentityTakenError:
            continue  # the same person arrived twice at once: the other one has made it
    raise StoreUnavailable("postgres", "the account of an identity can neither be found nor made")


async def _find(resources: Resources, identity: Identity, introduction: Introduction) -> Account | None:
    row = await resources.database.fetchrow("find_user_by_identity", identity.issuer, identity.subject)
    if row is None:
        return None
    if row["disabled_on"] is not None:
        raise AccountDisabledError
    said = {"display_name": introduction.display_name, "email": introduction.email}
    if any(value is not None and value != row[name] for name, value in said.items()):
        await resources.database.execute("introduce_user", row["user_id"], *said.values())
    return Account(row["user_id"], row["username"], row["session_epoch"])


async def _create(resources: Resources, identity: Identity, introduction: Introduction) -> Account:
    """Makes an account under a free name.

    Raises:
        IdentityTakenError: it has one already.
    """
    wanted = made_username(introduction.username or introduction.display_name or "")
    username, now = wanted, resources.clock.now()
    for _ in range(_TRIES):
        try:
            return await _insert(resources, identity, introduction, username, now)
        except UsernameTakenError:
            suffix = "-" + secrets.token_hex(_SUFFIX_BYTES)
            username = wanted[: LONGEST_USERNAME - len(suffix)] + suffix
    raise StoreUnavailable("postgres", "no free username")


async def _insert(
    resources: Resources, identity: Identity, introduction: Introduction, username: str, now: int
) -> Account:
    database = resources.database
    async with database.transaction() as connection:
        with named_conflicts():
            user_id: int = await connection.fetchval(
                database.sql["insert_external_user"],
                username,
                introduction.display_name,
                introduction.email,
                now,
            )
            await connection.execute(
                database.sql["insert_identity"], identity.issuer, identity.subject, user_id, now
            )
        await write_audit(database, connection, now, "sign-in", "user.created", f"user:{user_id}")
    return Account(user_id, username, 0)


async def link_identity(resources: Resources, user_id: int, identity: Identity) -> None:
    """Lets a signed-in person come in by another login as well; again changes nothing.

    Raises:
        IdentityTakenError: another account has it.
    """
    database, now = resources.database, resources.clock.now()
    try:
        async with database.transaction() as connection:
            with named_conflicts():
                await connection.execute(
                    database.sql["insert_identity"], identity.issuer, identity.subject, user_id, now
                )
            who = f"user:{user_id}"
            await write_audit(database, connection, now, who, "identity.linked", who)
    except IdentityTakenError:
        row = await database.fetchrow("find_user_by_identity", identity.issuer, identity.subject)
        if row is None or row["user_id"] != user_id:
            raise


async def list_identities(resources: Resources, user_id: int) -> tuple[Identity, ...]:
    """By which logins elsewhere a person comes in, the first one first."""
    rows = await resources.database.fetch("list_identities", user_id)
    return tuple(Identity(row["issuer"], row["subject"]) for row in rows)


def made_username(given: str) -> str:
    """A name within the rule for usernames that is like the given one: accents and other characters are left out."""
    plain = unicodedata.normalize("NFKD", given[: 2 * LONGEST_ID]).encode("ascii", "ignore").decode()
    name = _NOT_IN_A_USERNAME.sub("-", plain.partition("@")[0]).strip("-_")[:LONGEST_USERNAME].rstrip("-_")
    return name if len(name) >= _SHORTEST_USERNAME else _NAMELESS
