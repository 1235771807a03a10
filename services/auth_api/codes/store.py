"""One-time codes in Redis: kept under their digest, spent by one script that also orders the key.

Everything that one decision needs lives in the hash slot of key_issuer's command stream, so that redeeming is a
single atomic step. Redis is the fast filter only; the unique code digest in key_issuer's table is the proof.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, Literal, cast

from services.auth_api.codes import scripts
from services.auth_api.oauth.authorization_code import CodeRecord
from shared.bus import Bus, names
from shared.contracts.keys import AbandonKey

SLOT: Final = names.commands("key_issuer").removesuffix(":commands")
"""What every key here begins with: the hash slot of key_issuer's commands."""
TOMBSTONE_MS: Final = 20 * 60_000
"""How long a code is remembered after its time: replays are recognised, causes can be told."""
REMEMBERED_MS: Final = 60_000
"""How long a retry with the same ``Idempotency-Key`` is answered as the first request was."""
DECISION_MS: Final = 10 * 60_000
"""How long a decision is kept: as long as the request that it is about."""
WATERMARK_MS: Final = 2 * 3_600_000
"""How long a watermark is kept: longer than any code, device code or pending request lives."""
GIVING_BACK_SECONDS: Final = 1.5
"""Longer than it takes a connection to Redis to be made again."""
_LOOK_SECONDS: Final = 0.1

StoreOutcome = Literal["stored", "decided", "spent", "withdrawn"]
RedeemOutcome = Literal["spent", "different", "gone", "expired", "withdrawn", "late", "running", "throttled"]


@dataclass(frozen=True, slots=True)
class Remembered:
    """Where a request with an ``Idempotency-Key`` is remembered, and what makes a retry the same request."""

    key: str
    fingerprint: str
    again: bool = False
    """It is a retry of the attempt that has spent the code, and takes its place."""


@dataclass(frozen=True, slots=True)
class RedeemAttempt:
    """One try to redeem a code; what is needed to give the code back."""

    code_digest: str
    key_id: str
    message_id: str
    deadline: int
    """Unix milliseconds by the clock of Redis; the code is not spent later than that."""
    remembered: Remembered | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What the script made of an attempt."""

    outcome: RedeemOutcome
    record: CodeRecord | None = None
    seen: Mapping[str, str] = field(default_factory=dict)
    """What the named fields of the code hold, where it was not spent."""
    paid_off_on: int = 0
    """Where it is ``throttled``: when all failures are paid off, in Unix milliseconds."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a pending request so far; compared and replaced together with the code."""

    request_id: str
    seen: str
    """The value read before: empty, the digest of the code given first, or ``declined``."""


def code_key(digest: str) -> str:
    """The record of a code."""
    return f"{SLOT}:code:{digest}"


def decision_key(request_id: str) -> str:
    """What became of a pending request."""
    return f"{SLOT}:decision:{request_id}"


def watermark_keys(user_id: int, client_id: str) -> tuple[str, str, str]:
    """The watermarks of revocation that can end a code: of the user, the client, and the grant between them."""
    return (
        f"{SLOT}:void:user:{user_id}",
        f"{SLOT}:void:client:{client_id}",
        f"{SLOT}:void:grant:{user_id}:{client_id}",
    )


def code_fields(record: CodeRecord, circumstances: str = "") -> list[str | bytes]:
    """The fixed fields of a code, name and value in turn."""
    by_user, by_client, by_grant = watermark_keys(record.user_id, record.client_id)
    fields: dict[str, str | bytes] = {
        "record": record.to_bytes(),
        "consented_on": str(record.consented_on),
        "circumstances": circumstances,
        "by_user": by_user,
        "by_client": by_client,
        "by_grant": by_grant,
        **record.binding,
    }
    return list(chain.from_iterable(fields.items()))


class CodeStore:
    """The codes of all clients. Every method raises ``StoreUnavailable`` where Redis does not answer."""

    def __init__(self, bus: Bus) -> None:
        """``bus.redis`` keeps them; commands about them go over the bus."""
        self._bus = bus

    async def store(
        self,
        digest: str,
        record: CodeRecord,
        *,
        circumstances: str,
        begun_on: int,
        lifetime_ms: int,
        decision: Decision | None = None,
    ) -> StoreOutcome:
        """Keeps a new code; with ``decision`` in place of the one that the same request was given before.

        ``decided``: the request was decided otherwise meanwhile. ``spent``: its first code was used already.
        ``withdrawn``: user, client or grant ended since the request was shown, ``begun_on``. Only ``stored`` keeps
        anything.
        """
        keys = [code_key(digest), *watermark_keys(record.user_id, record.client_id)]
        args: list[str | int | bytes] = [lifetime_ms, TOMBSTONE_MS, begun_on]
        if decision is None:
            args += ["", "", ""]
        else:
            keys += [decision_key(decision.request_id), code_key(decision.seen or digest)]
            args += [decision.seen, digest, DECISION_MS]
        outcome: bytes = await self._bus.redis.run_script(
            scripts.STORE, keys=keys, args=[*args, *code_fields(record, circumstances)]
        )
        return cast("StoreOutcome", outcome.decode())

    async def redeem(
        self,
        attempt: RedeemAttempt,
        expected: Mapping[str, str],
        *,
        failures_key: str,
        paid_off_by: int,
        stream: str,
        fields: Sequence[str | bytes],
    ) -> Found:
        """Spends the code and appends the command to ``stream`` if every expected field holds its value.

        ``failures_key`` counts failures of the requester; they must be paid off by ``paid_off_by`` (Unix
        milliseconds). Only ``spent`` changes anything. ``running``: a request with the same ``Idempotency-Key`` came
        first. ``late``: the deadline is over, or the attempt was given up before it arrived.
        """
        remembered = attempt.remembered
        wanted = {**expected, f"fence:{attempt.message_id}": ""}
        keys = [code_key(attempt.code_digest), stream, failures_key]
        if remembered is not None:
            keys.append(remembered.key)
        answer: list[bytes] = await self._bus.redis.run_script(
            scripts.REDEEM,
            keys=keys,
            args=[
                attempt.deadline,
                attempt.message_id,
                paid_off_by,
                "again" if remembered is not None and remembered.again else "",
                "" if remembered is None else remembered.fingerprint,
                expected.get("abandoned", ""),
                REMEMBERED_MS,
                len(wanted),
                *wanted,
                *wanted.values(),
                *fields,
            ],
        )
        return _found(answer, tuple(wanted))

    async def note_mismatch(self, digest: str, mismatch_field: str) -> None:
        """Counts a wrong redirect URI or verifier against the code, if it is still kept."""
        await self._bus.redis.run_script(
            scripts.NOTE_MISMATCH, keys=[code_key(digest)], args=[mismatch_field]
        )

    async def is_given_back(self, digest: str) -> bool:
        """Whether a spent code can be redeemed again, now or in a moment.

        Where its attempt is over, whoever made it may have answered 503 and be just back from the same outage as we
        are, with the release still on its way: that is waited for. Where Redis refuses writes it cannot come; a write
        of our own is refused there as well.
        """
        clock, redis = self._bus.clock, self._bus.redis
        lifetime_ms = int(GIVING_BACK_SECONDS * 1000)
        await redis.execute_even_if_full("SET", f"{SLOT}:writable", "", "PX", lifetime_ms)
        patient_until = clock.monotonic() + GIVING_BACK_SECONDS
        while True:
            state, until = await redis.execute("HMGET", code_key(digest), "state", "until")
            if state != b"spent":
                return bool(state == b"")
            if until is None or self._bus.time.now() <= int(until) or clock.monotonic() > patient_until:
                return False
            await asyncio.sleep(_LOOK_SECONDS)

    async def release(self, attempt: RedeemAttempt) -> bool:
        """Gives the code back if ``attempt`` has spent it, and lets key_issuer know that its key is abandoned.

        An attempt that has not arrived yet can spend nothing any more. Whether the code was given back.
        """
        stream, fields = self._bus.compose(AbandonKey(key_id=attempt.key_id, code_digest=attempt.code_digest))
        keys = [code_key(attempt.code_digest), stream]
        if attempt.remembered is not None:
            keys.append(attempt.remembered.key)
        released: int = await self._bus.redis.run_script(
            scripts.RELEASE, keys=keys, args=[attempt.message_id, attempt.key_id, *fields]
        )
        return bool(released)

    async def now_after_revocations(self, user_id: int, client_id: str) -> int:
        """The time for something new between a user and a client: now, but after everything that was taken back.

        The clocks of two replicas may differ; a person who disconnects an app and connects it again must not be
        refused because the second request came to a replica whose clock is behind.
        """
        found = await self._bus.redis.execute("MGET", *watermark_keys(user_id, client_id))
        return max(self._bus.clock.now(), *(int(mark or 0) + 1 for mark in found))

    async def revoke_people_before(self, user_ids: Sequence[int], before: int) -> None:
        """Ends every code and pending request of some people, as ``revoke_before`` does of one."""
        keys = [f"{SLOT}:void:user:{user_id}" for user_id in user_ids]
        await self._bus.redis.run_script(scripts.REVOKE_BEFORE, keys=keys, args=[before, WATERMARK_MS])

    async def revoke_before(self, *, user_id: int | None, client_id: str | None, before: int) -> None:
        """Ends every code and pending request of a user, of a client, or of that user's grant to that client.

        What was begun at or before ``before`` (Unix milliseconds) is over. A watermark only grows; setting it twice
        changes nothing.
        """
        if user_id is not None and client_id is not None:
            key = watermark_keys(user_id, client_id)[2]
        else:
            key = f"{SLOT}:void:user:{user_id}" if client_id is None else f"{SLOT}:void:client:{client_id}"
        await self._bus.redis.run_script(scripts.REVOKE_BEFORE, keys=[key], args=[before, WATERMARK_MS])


def _found(answer: Sequence[bytes], names: Sequence[str]) -> Found:
    outcome = cast("RedeemOutcome", answer[0].decode())
    if outcome == "throttled":
        return Found(outcome, paid_off_on=int(answer[1]))
    if len(answer) == 1:
        return Found(outcome)
    seen = dict(zip(names, (value.decode() for value in answer[2:]), strict=False))
    if seen.get(names[-1]):  # the fence of this very attempt
        return Found("late")
    return Found(outcome, CodeRecord.from_bytes(answer[1]), seen)
