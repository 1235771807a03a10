"""Ending keys: one transaction each, told to every verifier, refused here before the answer leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from services.key_issuer.db.repository import KeyRows, Record, in_transaction
from services.key_issuer.issuer import Issuer
from shared.contracts.keys import KeysRevoked, RevokeCode, RevokeHolding, RevokeKey, RevokeToken
from shared.errors import StoreUnavailable
from shared.failpoints import failpoint

CHUNK: Final = 500
"""Keys ended by one transaction where there may be many; also what fits in one message."""
_LOOKS: Final = 200
_LOOK_SECONDS: Final = 0.02

REPLAYED: Final = "code_replayed"
EVICTED: Final = "evicted"
SUPERSEDED: Final = "superseded"
LEAKED: Final = "leak_reported"
ROTATED: Final = "rotated"


async def revoke_key(issuer: Issuer, command: RevokeKey) -> KeysRevoked:
    """Revokes one key by its id, of one person where one is given; again changes nothing."""

    async def work(rows: KeyRows) -> KeysRevoked:
        row = await rows.fetchrow("lock_key", command.key_id, command.user_id)
        return await _end_one(issuer, rows, row, command.reason)

    return await _announced(issuer, await in_transaction(issuer.database, work))


async def revoke_token(issuer: Issuer, command: RevokeToken) -> KeysRevoked:
    """Revokes the key whose digest a client presents, if it is that client's (RFC 7009 §2.1)."""

    async def work(rows: KeyRows) -> KeysRevoked:
        row = await rows.fetchrow("lock_key", command.key_id, None)
        if row is None or row["client_id"] != command.client_id:
            return KeysRevoked(found=0, revoked=())
        if not issuer.peppers.matches(command.digest, row["digest"], row["pepper_version"]):
            return KeysRevoked(found=0, revoked=())
        return await _end_one(issuer, rows, row, "revoked_by_client")

    return await _announced(issuer, await in_transaction(issuer.database, work))


async def revoke_code(issuer: Issuer, command: RevokeCode) -> KeysRevoked:
    """Revokes what came out of a code that was presented again (RFC 6749 §4.1.2).

    Where the row is still on its way, a mark lets it be born revoked; the holding's lock puts both in a line.
    """
    code_digest = bytes.fromhex(command.code_digest)

    async def work(rows: KeyRows) -> KeysRevoked:
        if command.user_id is not None:
            await rows.execute("void_holding", command.user_id, command.client_id, 0)
        row = await rows.fetchrow("lock_key_of_code", code_digest, command.client_id)
        if row is None:
            if command.user_id is not None:
                await rows.execute("mark_replayed_code", code_digest, issuer.clock.now())
            return KeysRevoked(found=0, revoked=())
        return await _end_one(issuer, rows, row, REPLAYED)

    return await _announced(issuer, await in_transaction(issuer.database, work))


async def revoke_holding(issuer: Issuer, command: RevokeHolding) -> KeysRevoked:
    """Ends every key of a person, of a client, or of both together, whose consent is not younger than ``before``.

    Keys of such consents that are still being issued are refused or found: their transactions are waited for.
    """
    user_id, client_id, before, reason = command.user_id, command.client_id, command.before, command.reason
    if user_id is not None and client_id is not None:
        return await _revoke_one_holding(issuer, user_id, client_id, before, reason)
    if user_id is None and client_id is None:
        return KeysRevoked(found=0, revoked=())
    kind, name = ("u", str(user_id)) if user_id is not None else ("c", client_id)

    async def withdraw(rows: KeyRows) -> None:
        await rows.execute("await_running_issues")
        await rows.execute("void_principal", kind, name, before)

    await in_transaction(issuer.database, withdraw)
    whose, who = ("user", user_id) if user_id is not None else ("client", client_id)
    return await _revoke_in_chunks(issuer, whose, who, before, reason)


async def _revoke_one_holding(
    issuer: Issuer, user_id: int, client_id: str, before: int, reason: str
) -> KeysRevoked:
    async def work(rows: KeyRows) -> list[str]:
        await rows.execute("void_holding", user_id, client_id, before)
        revoked: list[str] = []
        while live := await rows.key_ids("lock_keys_of_holding", user_id, client_id, before, CHUNK):
            revoked += await rows.end_keys(live, reason, issuer.clock.now())
        return revoked

    revoked = await in_transaction(issuer.database, work)
    issuer.announce(revoked)
    await failpoint("key_issuer.revoke.committed")
    return _outcome(revoked)


async def _revoke_in_chunks(
    issuer: Issuer, whose: str, who: int | str | None, before: int, reason: str
) -> KeysRevoked:
    """Rows that another transaction holds are left out, so that nothing can wait in a circle, and looked at again."""

    async def work(rows: KeyRows) -> list[str]:
        live = await rows.key_ids(f"lock_keys_of_{whose}", who, before, CHUNK)
        return await rows.end_keys(live, reason, issuer.clock.now())

    revoked: list[str] = []
    for _ in range(_LOOKS):
        while ended := await in_transaction(issuer.database, work):
            issuer.announce(ended)
            revoked += ended
        if not await issuer.database.fetchval(f"has_keys_of_{whose}", who, before):
            return _outcome(revoked)
        await asyncio.sleep(_LOOK_SECONDS)
    raise StoreUnavailable("postgres", "keys to revoke stay locked by another transaction")


def _outcome(revoked: Sequence[str]) -> KeysRevoked:
    """All are counted; as many are named as fit in an answer."""
    return KeysRevoked(found=len(revoked), revoked=tuple(revoked[:CHUNK]))


async def _end_one(issuer: Issuer, rows: KeyRows, row: Record | None, reason: str) -> KeysRevoked:
    """Ends the key of a locked row unless it has ended."""
    if row is None:
        return KeysRevoked(found=0, revoked=())
    key_id: str = row["key_id"]
    if row["status"] == "revoked":
        return KeysRevoked(found=1, revoked=())
    await rows.end_keys([key_id], reason, issuer.clock.now())
    return KeysRevoked(found=1, revoked=(key_id,))


async def _announced(issuer: Issuer, outcome: KeysRevoked) -> KeysRevoked:
    if outcome.revoked:
        issuer.announce(outcome.revoked)
        await failpoint("key_issuer.revoke.committed")
    return outcome
