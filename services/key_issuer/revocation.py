"""Ending keys: one transaction each, told to every verifier, refused here before the answer leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

import orjson

from services.key_issuer.db.repository import KeyRows, Record, in_transaction
from services.key_issuer.issuer import Issuer
from services.key_issuer.records import LEAKED, REPLAYED
from shared.api_key import SERVICE_KEY, parse_key
from shared.contracts.events import GrantRevoked, PeopleEnded
from shared.contracts.keys import (
    AbandonKey,
    KeysRevoked,
    RevokeCode,
    RevokeGrant,
    RevokeKey,
    RevokePeople,
    RevokeToken,
)
from shared.contracts.messages import Done
from shared.errors import StoreUnavailable
from shared.secret_tokens import digest_of

CHUNK: Final = 500
"""Keys ended by one transaction where there may be many; also what fits in one message."""
_POINT: Final = "key_issuer.revoke.committed"
_LOOKS: Final = 200
_LOOK_SECONDS: Final = 0.02
_NONE: Final = KeysRevoked(found=0, revoked=())


async def revoke_key(issuer: Issuer, command: RevokeKey) -> KeysRevoked:
    """Revokes one key by its id, of one person where one is given; again changes nothing."""
    return await _end_key(issuer, command.reason, command.key_id, command.user_id)


async def revoke_token(issuer: Issuer, command: RevokeToken) -> KeysRevoked:
    """Revokes the key whose digest a client presents, if it is that client's (RFC 7009 §2.1)."""
    (row,) = await _presented(issuer, "read_keys", [(command.key_id, command.digest)])
    if row is None or row["client_id"] != command.client_id:
        return _NONE
    return await _end_key(issuer, "revoked_by_client", command.key_id)


async def revoke_code(issuer: Issuer, command: RevokeCode) -> KeysRevoked:
    """Revokes what came out of a code that was presented again (RFC 6749 §4.1.2).

    Where the row is still on its way, a mark lets it be born revoked; the grant's lock puts both in a line. Where
    the command says what the code is bound to, the row decides whether that is so.
    """
    code_digest = bytes.fromhex(command.code_digest)
    binding = None if command.binding is None else orjson.dumps(command.binding).decode()

    async def find(rows: KeyRows) -> Record | None:
        if command.user_id is not None:
            await rows.execute("void_holding", command.user_id, command.client_id, 0)
        row = await rows.fetchrow("lock_key_of_code", code_digest, command.client_id, binding)
        if row is None and command.user_id is not None and binding is None:
            await rows.execute("mark_replayed_code", code_digest, issuer.clock.now())
        return row

    return await _end_one(issuer, REPLAYED, find)


async def abandon_keys(issuer: Issuer, commands: Sequence[AbandonKey]) -> list[Done]:
    """Ends keys that reached no program and gives their codes back; one whose row comes later is refused then.

    Again changes nothing.
    """
    key_ids = [command.key_id for command in commands]
    codes = [bytes.fromhex(command.code_digest) for command in commands]

    async def work(rows: KeyRows) -> tuple[list[Done], list[str]]:
        now = issuer.clock.now()
        if await rows.key_ids("find_unmade_keys", key_ids):
            await rows.execute("await_running_issues")
            await rows.mark_abandoned(await rows.key_ids("find_unmade_keys", key_ids), now)
        held = await rows.key_ids("lock_keys_of_codes", key_ids, codes)
        return [Done() for _ in commands], await rows.give_up(held, now)

    return await issuer.narrow(work, _POINT)


async def revoke_grant(issuer: Issuer, command: RevokeGrant | GrantRevoked) -> KeysRevoked:
    """Ends every key of a person, of a client, or of both together, whose consent is not younger than ``before``.

    Keys of such consents that are still being issued are refused or found: their transactions are waited for.
    """
    user_id, client_id, before, reason = command.user_id, command.client_id, command.before, command.reason
    if user_id is not None and client_id is not None:
        return await _revoke_one_grant(issuer, user_id, client_id, before, reason)
    if user_id is None and client_id is None:
        return _NONE
    if user_id is not None:
        return await _revoke_principals(issuer, "people", [user_id], before, reason)
    return await _revoke_principals(issuer, "client", client_id, before, reason)


async def revoke_people(issuer: Issuer, command: RevokePeople | PeopleEnded) -> KeysRevoked:
    """Ends every key of these people whose consent is not younger than ``before``, as ``revoke_grant`` does of one."""
    return await _revoke_principals(issuer, "people", command.user_ids, command.before, command.reason)


async def _revoke_one_grant(
    issuer: Issuer, user_id: int, client_id: str, before: int, reason: str
) -> KeysRevoked:
    async def work(rows: KeyRows) -> tuple[KeysRevoked, list[str]]:
        await rows.execute("void_holding", user_id, client_id, before)
        revoked: list[str] = []
        while live := await rows.key_ids("lock_keys_of_holding", user_id, client_id, before, CHUNK):
            revoked += await rows.end_keys(live, reason, issuer.clock.now())
        return _outcome(revoked), revoked

    return await issuer.narrow(work, _POINT)


async def _revoke_principals(
    issuer: Issuer, whose: str, who: Sequence[int] | str | None, before: int, reason: str
) -> KeysRevoked:
    """First no key of theirs can be issued any more, then those that there are end."""

    async def withdraw(rows: KeyRows) -> None:
        await rows.execute("await_running_issues")
        await rows.execute(f"void_{whose}", who, before)

    await in_transaction(issuer.database, withdraw)
    return await _revoke_in_chunks(issuer, whose, who, before, reason)


async def _revoke_in_chunks(
    issuer: Issuer, whose: str, who: Sequence[int] | str | None, before: int, reason: str
) -> KeysRevoked:
    """Rows that another transaction holds are left out, so that nothing can wait in a circle, and looked at again."""

    async def work(rows: KeyRows) -> tuple[list[str], list[str]]:
        live = await rows.key_ids(f"lock_keys_of_{whose}", who, before, CHUNK)
        ended = await rows.end_keys(live, reason, issuer.clock.now())
        return ended, ended

    revoked: list[str] = []
    for _ in range(_LOOKS):
        while ended := await issuer.narrow(work, _POINT):
            revoked += ended
        if not await issuer.database.fetchval(f"has_keys_of_{whose}", who, before):
            return _outcome(revoked)
        await asyncio.sleep(_LOOK_SECONDS)
    raise StoreUnavailable("postgres", "keys to revoke stay locked by another transaction")


def _outcome(revoked: Sequence[str]) -> KeysRevoked:
    """All are counted; as many are named as fit in an answer."""
    return KeysRevoked(found=len(revoked), revoked=tuple(revoked[:CHUNK]))


async def _end_key(issuer: Issuer, reason: str, key_id: str, user_id: int | None = None) -> KeysRevoked:
    return await _end_one(issuer, reason, lambda rows: rows.fetchrow("lock_key", key_id, user_id))


async def _end_one(
    issuer: Issuer, reason: str, find: Callable[[KeyRows], Awaitable[Record | None]]
) -> KeysRevoked:
    """Ends the key whose row ``find`` locks, unless it has ended; none where it finds none."""

    async def work(rows: KeyRows) -> tuple[KeysRevoked, list[str]]:
        row = await find(rows)
        if row is None:
            return _NONE, []
        ended = await rows.end_keys([row["key_id"]], reason, issuer.clock.now())
        return KeysRevoked(found=1, revoked=tuple(ended)), ended

    return await issuer.narrow(work, _POINT)


async def _presented(issuer: Issuer, query: str, claims: Sequence[tuple[str, str]]) -> list[Record | None]:
    """The row of each key that the caller proves to know by its digest; not locked, since ids are public."""
    rows = {
        row["key_id"]: row for row in await issuer.database.fetch(query, [key_id for key_id, _ in claims])
    }

    def is_known(row: Record | None, digest: str) -> bool:
        return row is not None and issuer.peppers.matches(digest, row["digest"], row["pepper_version"])

    found = [(rows.get(key_id), digest) for key_id, digest in claims]
    return [row if is_known(row, digest) else None for row, digest in found]


async def revoke_service_key(issuer: Issuer, key_id: str, reason: str) -> bool:
    """Ends a service key everywhere; ``False`` where there is no live one of this id."""
    now = issuer.clock.now()

    async def work(rows: KeyRows) -> tuple[bool, list[str]]:
        ended = await rows.key_ids("end_service_key", key_id, now, reason)
        if ended:
            await rows.append_invalidated(key_id, now)
        return bool(ended), ended

    return await issuer.narrow(work, _POINT)


async def end_leaked(issuer: Issuer, tokens: Iterable[str]) -> set[str]:
    """Revokes the keys that these are, live or paused; which of them are keys of ours, ended ones included."""
    parsed = [(token, key) for token in tokens if (key := parse_key(token)) is not None]
    keys: set[str] = set()
    for start in range(0, len(parsed), CHUNK):
        some = parsed[start : start + CHUNK]
        of_people = {token: key.key_id for token, key in some if key.kind != SERVICE_KEY}
        of_services = {token: key.key_id for token, key in some if key.kind == SERVICE_KEY}
        keys |= await _end_leaked_of(issuer, "read_keys", of_people, _end_leaked_people)
        keys |= await _end_leaked_of(issuer, "read_service_keys", of_services, _end_leaked_services)
    return keys


async def _end_leaked_of(
    issuer: Issuer,
    query: str,
    tokens: Mapping[str, str],
    end: Callable[[Issuer, Sequence[str]], Awaitable[None]],
) -> set[str]:
    """Ends those of these tokens (each with its id) that the table knows; they are returned."""
    rows = await _presented(issuer, query, [(key_id, digest_of(token)) for token, key_id in tokens.items()])
    keys = {
        token: key_id for (token, key_id), row in zip(tokens.items(), rows, strict=True) if row is not None
    }
    if keys:
        await end(issuer, list(keys.values()))
    return set(keys)


async def _end_leaked_people(issuer: Issuer, key_ids: Sequence[str]) -> None:
    async def work(rows: KeyRows) -> tuple[None, list[str]]:
        return None, await rows.end_live_keys(key_ids, LEAKED, issuer.clock.now())

    await issuer.narrow(work, _POINT)


async def _end_leaked_services(issuer: Issuer, key_ids: Sequence[str]) -> None:
    for key_id in key_ids:
        await revoke_service_key(issuer, key_id, LEAKED)
