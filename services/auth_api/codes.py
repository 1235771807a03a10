"""One-time codes in Redis: kept under their digest, spent by one script that also orders the key.

Everything that one decision needs lives in the hash slot of key_issuer's command stream, so that redeeming is a
single atomic step. Redis is the fast filter only; the unique code digest in key_issuer's table is the proof.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from services.auth_api import code_scripts
from services.auth_api.oauth.authorization_code import MOST_MISMATCHES, CodeRecord, Redemption
from services.auth_api.oauth.pkce import challenge_of
from services.auth_api.resources import Resources
from shared.bus import Bus, names

SLOT: Final = names.commands("key_issuer").removesuffix(":commands")
TOMBSTONE_MS: Final = 20 * 60_000
"""How long a code is remembered after it was spent or has expired: replays are recognised, causes can be told."""
MARK_MS: Final = 2 * 3_600_000
"""How long a revocation mark is kept: longer than any code, device code or pending request lives."""
GIVING_BACK_SECONDS: Final = 1.5
"""Longer than it takes a connection to Redis to be made again."""
_LOOK_SECONDS: Final = 0.1
IDEMPOTENT_MS: Final = 60_000
"""How long a retry with the same ``Idempotency-Key`` is answered as the first request was."""

StoreOutcome = Literal["stored", "decided", "spent", "withdrawn"]
RedeemOutcome = Literal[
    "ok",
    "gone",
    "spent",
    "replaced",
    "expired",
    "withdrawn",
    "changed",
    "pending",
    "denied",
    "running",
]


@dataclass(frozen=True, slots=True)
class StoredCode:
    """A code as it is kept."""

    record: CodeRecord
    attempts: int
    """How often it was redeemed so far, released attempts included."""
    mismatches: int
    """How often its client (a public one: from this peer) sent it with a wrong redirect URI or verifier."""
    spent: bool
    """Whether it was redeemed, as far as is known now."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a pending request so far; compared and replaced together with the code."""

    request_id: str
    seen: str
    """The value read before: empty, the digest of the code given first, or ``declined``."""
    lifetime_ms: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to redeem a code."""

    code_digest: str
    number: int
    key_id: str
    message_id: str
    deadline: int
    """Unix milliseconds by the clock of Redis; until then it may be running."""
    retry_key: str | None = None
    """Where a retry of the same request is recognised; ``None`` without an Idempotency-Key."""
    fingerprint: str = ""


def code_key(digest: str) -> str:
    """The record of a code."""
    return f"{SLOT}:code:{digest}"


def decision_key(request_id: str) -> str:
    """What became of a pending request."""
    return f"{SLOT}:decision:{request_id}"


def mark_keys(user_id: int, client_id: str) -> tuple[str, str, str]:
    """The three revocation marks that can kill a code."""
    return (
        f"{SLOT}:void:user:{user_id}",
        f"{SLOT}:void:client:{client_id}",
        f"{SLOT}:void:grant:{user_id}:{client_id}",
    )


async def begin_after_marks(resources: Resources, user_id: int, client_id: str) -> int:
    """The time for something new between a user and a client: now, but after everything that was taken back.

    The clocks of two replicas may differ; a person who disconnects an app and connects it again must not be
    refused because the second request came to a replica whose clock is behind.
    """
    found = await resources.bus.redis.execute("MGET", *mark_keys(user_id, client_id))
    return max(resources.clock.now(), *(int(mark or 0) + 1 for mark in found))


async def void(resources: Resources, *, user_id: int | None, client_id: str | None, on: int) -> None:
    """Kills every code and pending request of a user, of a client, or of that user's grant to that client.

    What was begun at or before ``on`` (Unix milliseconds) is dead. A mark only grows; calling twice changes nothing.

    Raises:
        StoreUnavailable: nothing is dead yet; call again.
    """
    if user_id is not None and client_id is not None:
        key = mark_keys(user_id, client_id)[2]
    else:
        key = f"{SLOT}:void:user:{user_id}" if client_id is None else f"{SLOT}:void:client:{client_id}"
    await resources.bus.redis.run_script(code_scripts.VOID, keys=[key], args=[on, MARK_MS])


async def store(
    resources: Resources,
    digest: str,
    record: CodeRecord,
    *,
    begun_on: int,
    lifetime_ms: int,
    decision: Decision | None = None,
) -> StoreOutcome:
    """Keeps a new code; with ``decision`` in place of the one that the same request was given before.

    ``decided``: the request was decided otherwise meanwhile. ``spent``: its first code was used already.
    ``withdrawn``: user, client or grant ended since the request was shown, ``begun_on``. Only ``stored`` keeps anything.
    """
    keys = [code_key(digest), *mark_keys(record.user_id, record.client_id)]
    args: list[str | int | bytes] = [record.to_bytes(), lifetime_ms, TOMBSTONE_MS, begun_on]
    if decision is not None:
        keys += [decision_key(decision.request_id), code_key(decision.seen or digest)]
        args += [decision.seen, digest, decision.lifetime_ms]
    outcome: bytes = await resources.bus.redis.run_script(code_scripts.STORE, keys=keys, args=args)
    return cast("StoreOutcome", outcome.decode())


async def find(resources: Resources, digest: str, *, mismatch_field: str) -> StoredCode | None:
    """What is kept of a code, or ``None`` where Redis knows nothing of it."""
    found = await resources.bus.redis.execute(
        "HMGET", code_key(digest), "record", "attempts", mismatch_field, "state"
    )
    raw, attempts, mismatches, state = found
    if raw is None:
        return None
    return StoredCode(CodeRecord.from_bytes(raw), int(attempts), int(mismatches or 0), state == b"spent")


async def note_mismatch(resources: Resources, digest: str, *, mismatch_field: str) -> None:
    """Counts a wrong redirect URI or verifier against the code, if it is still kept."""
    await resources.bus.redis.run_script(
        code_scripts.NOTE_MISMATCH, keys=[code_key(digest)], args=[mismatch_field]
    )


async def redeem(
    resources: Resources, record: CodeRecord, attempt: Attempt, *, stream: str, fields: Sequence[str | bytes]
) -> RedeemOutcome:
    """Marks the code spent and appends the command to ``stream``, both or neither.

    ``changed``: another attempt came between; read the code again. ``running``: a request with the same
    Idempotency-Key came first. Only ``ok`` changes anything.
    """
    keys = [code_key(attempt.code_digest), *mark_keys(record.user_id, record.client_id), stream]
    args: list[str | int | bytes] = [
        attempt.number,
        record.consented_on,
        attempt.message_id,
        TOMBSTONE_MS,
        attempt.key_id,
        attempt.fingerprint,
        attempt.deadline,
        IDEMPOTENT_MS,
    ]
    if attempt.retry_key is not None:
        keys.append(attempt.retry_key)
    outcome: bytes = await resources.bus.redis.run_script(
        code_scripts.REDEEM, keys=keys, args=[*args, *fields]
    )
    return cast("RedeemOutcome", outcome.decode())


async def redeem_unread(
    resources: Resources,
    presented: Redemption,
    attempt: Attempt,
    *,
    mismatch_field: str,
    body: tuple[bytes, bytes],
    stream: str,
    fields: Sequence[str | bytes],
) -> CodeRecord | None:
    """Marks the code spent and appends the command, if the code was given for just what is presented.

    ``body``: the members of the command that do not come from the record, and the client's name, as JSON. ``None``
    where anything is not as it should be; nothing is changed then.
    """
    verifier = presented.verifier
    args: list[str | int | bytes] = [
        presented.client_id,
        presented.redirect_uri or "",
        "" if verifier is None else challenge_of(verifier),
        mismatch_field,
        MOST_MISMATCHES,
        attempt.message_id,
        TOMBSTONE_MS,
        attempt.key_id,
        attempt.deadline,
        SLOT,
        *body,
    ]
    keys = [code_key(attempt.code_digest), stream]
    raw: bytes | None = await resources.bus.redis.run_script(
        code_scripts.REDEEM_UNREAD, keys=keys, args=[*args, *fields]
    )
    return None if raw is None else CodeRecord.from_bytes(raw)


async def is_given_back(resources: Resources, digest: str) -> bool:
    """Whether a spent code can be redeemed again, now or in a moment.

    Where its attempt is over, whoever made it may have answered 503 and be just back from the same outage as we are,
    with the release still on its way: that is waited for.
    """
    clock, redis = resources.clock, resources.bus.redis
    patient_until = clock.monotonic() + GIVING_BACK_SECONDS
    while True:
        state, until = await redis.execute("HMGET", code_key(digest), "state", "until")
        if state != b"spent":
            return bool(state == b"")
        if until is None or resources.bus.time.now() <= int(until) or clock.monotonic() > patient_until:
            return False
        await asyncio.sleep(_LOOK_SECONDS)


async def release(bus: Bus, attempt: Attempt) -> bool:
    """Makes the code redeemable again, if ``attempt`` is still the one that spent it. Whether it was."""
    keys = [code_key(attempt.code_digest)]
    if attempt.retry_key is not None:
        keys.append(attempt.retry_key)
    released: int = await bus.redis.run_script(
        code_scripts.RELEASE, keys=keys, args=[attempt.message_id, TOMBSTONE_MS]
    )
    return bool(released)
