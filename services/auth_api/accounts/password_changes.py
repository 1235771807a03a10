"""A person's new password in place of the one that they know."""

from __future__ import annotations

from typing import Final

from services.auth_api.accounts.service import (
    Account,
    UnfitPasswordError,
    WrongPasswordError,
    limited_guess,
    new_password_problem,
)
from services.auth_api.audit import ANONYMOUS, RepeatedAct, count_act, count_act_within, own_act
from services.auth_api.resources import Resources
from shared.contracts.sessions import SessionUser

SAME: Final = "is the password that you have already"


async def change_password(
    resources: Resources, user: SessionUser, current: str, new: str, peer: str
) -> Account:
    """Gives the signed-in person a new password; every session made before is dead when this returns.

    The caller starts a new one for the account that is answered. A link of an operator's leads nowhere from here on.

    Raises:
        WrongPasswordError: ``current`` is not the password; it counts as a failure.
        UnfitPasswordError: ``new`` breaks a rule for passwords, or is the same.
        Throttled: there were too many wrong passwords for this account or from this peer.
    """
    subject = f"user:{user.user_id}"
    try:
        # Whoever holds a session guesses apart from those who sign in, who can type no NUL: neither locks the other out.
        async with limited_guess(resources, f"\0{subject}", peer):
            known_hash = await resources.database.fetchval("find_password_hash", user.user_id)
            right = await resources.passwords.verify(known_hash, current, peer)
            _require(subject, right=right)
    except WrongPasswordError as wrong:
        await count_act(
            resources, RepeatedAct(ANONYMOUS, "user.password-refused", subject, peer, wrong.cause)
        )
        raise
    problem = SAME if new == current else await new_password_problem(resources, user.username, new, peer)
    if problem is not None:
        raise UnfitPasswordError(problem)
    password_hash, database = await resources.passwords.hash(new, peer), resources.database
    async with database.transaction() as connection:
        row = await connection.fetchrow(
            database.sql["replace_password"], user.user_id, known_hash, password_hash
        )
        if row is None:  # two changes at once, and the other one was first
            raise WrongPasswordError(subject, "changed meanwhile")
        await count_act_within(resources, connection, own_act(user.user_id, "user.password-changed", peer))
    return Account(row["user_id"], row["username"], row["session_epoch"])


def _require(subject: str, *, right: bool) -> None:
    if not right:
        raise WrongPasswordError(subject, "wrong password")
