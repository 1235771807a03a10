"""An operator's link with which a person sets a new password: once, within a day, and nobody else knows it.

Looking at the page uses nothing up: mail programs, previews, reloads and Back only look.
"""

from __future__ import annotations

import re
from typing import Final

from services.auth_api.accounts.service import UnfitPasswordError, new_password_problem
from services.auth_api.audit import count_act_within, own_act
from services.auth_api.resources import Resources
from shared.contracts.sessions import SessionUser
from shared.secret_tokens import digest_of, random_base62
from shared.settings import Settings

RESET_LINK_SECONDS: Final = 24 * 3600
"""How long a link can be used."""
PAGE: Final = "/reset-password"
_TOKEN_LENGTH: Final = 43
"""256 bits in base62."""
_TOKEN: Final = re.compile(f"[0-9A-Za-z]{{{_TOKEN_LENGTH}}}", re.ASCII)


class UsedLinkError(Exception):
    """The link was used, is too old, or newer than this one there is another: all the same."""


def mint_reset_token() -> str:
    """What a new link holds; only its digest is to be kept."""
    return random_base62(_TOKEN_LENGTH)


def reset_link(settings: Settings, token: str) -> str:
    """The address of the page that asks for the new password."""
    return f"{settings.public_url}{PAGE}?token={token}"


async def find_reset(resources: Resources, token_digest: str) -> SessionUser | None:
    """Whose password the link sets; ``None`` where it leads nowhere. Changes nothing."""
    row = await resources.database.fetchrow("find_password_reset", token_digest, resources.clock.now())
    return None if row is None else SessionUser(user_id=row["user_id"], username=row["username"])


async def reset_password(resources: Resources, token: str, new: str, peer: str) -> None:
    """Uses the link up and sets the password; every session of the account is dead when this returns.

    Raises:
        UsedLinkError: the link leads nowhere; nothing was hashed or changed.
        UnfitPasswordError: ``new`` breaks a rule for passwords; the link can be used again.
    """
    digest = digest_of(token) if _TOKEN.fullmatch(token) else None
    person = None if digest is None else await find_reset(resources, digest)
    if person is None:
        raise UsedLinkError
    problem = await new_password_problem(resources, person.username, new, peer)
    if problem is not None:
        raise UnfitPasswordError(problem)
    password_hash, database = await resources.passwords.hash(new, peer), resources.database
    async with database.transaction() as connection:
        # The account first, as every other change of a password has it: two that wait for one another would be refused.
        await connection.execute(database.sql["lock_user"], person.user_id)
        now = resources.clock.now()
        if await connection.fetchval(database.sql["use_password_reset"], digest, now) is None:
            raise UsedLinkError
        await connection.execute(database.sql["set_password"], person.username, password_hash)
        act = own_act(person.user_id, "user.password-reset", peer)
        await count_act_within(resources, connection, act)
