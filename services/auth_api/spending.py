"""Spending a code for a key: one script, one command to key_issuer, and the way back when no answer comes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

import orjson

from services.auth_api import codes
from services.auth_api.client import Client
from services.auth_api.codes import Attempt, StoredCode
from services.auth_api.oauth.authorization_code import CodeRecord, Redemption, unknown_code
from services.auth_api.oauth.errors import OAuthError
from services.auth_api.resources import Resources
from shared.bus import PreparedRequest, RemoteFailure
from shared.contracts.keys import IssueKey, IssueKeyReply, KeyOrigin, RevokeCode
from shared.errors import BusUnavailable, StoreUnavailable
from shared.failpoints import failpoint

ISSUE_SECONDS: Final = 2.5
"""How long key_issuer has for one key; past that the command is not started any more."""
RELEASE_SECONDS: Final = 0.4
"""How long an answer of 503 waits for the code to be given back, even after its deadline; the giving back goes on."""
LEAST_SECONDS: Final = 0.3
"""With less time than this left nothing is begun."""

_ORIGINS: Final[dict[str, KeyOrigin]] = {"code": "code", "device": "device", "file": "file"}
_CAUSES: Final = {
    "code_already_used": "another key came out of this code; that key is revoked now",
    "superseded": "a later attempt at the same code has won",
    "consent_withdrawn": "the consent was taken back, or user or client ended, after the code was given",
}


@dataclass(frozen=True, slots=True)
class Spending:
    """A code that passed every check, and the key that is to come out of it."""

    code_digest: str
    stored: StoredCode
    client: Client
    key_id: str
    key_digest: str = field(repr=False)
    give_up_on: float
    """On the monotonic clock: when the answer must be known."""
    retry_key: str | None = None
    fingerprint: str = ""

    def to_command(self, *, number: int) -> IssueKey:
        """The order for key_issuer; ``number`` counts the attempts at this code."""
        record = self.stored.record
        return IssueKey(
            key_id=self.key_id,
            digest=self.key_digest,
            code_digest=self.code_digest,
            attempt=number,
            user_id=record.user_id,
            username=record.username,
            client_id=record.client_id,
            identifier=record.label or self.client.name,
            permissions=record.permissions,
            consented_on=record.consented_on,
            origin=_ORIGINS[record.kind],
            shown=record.kind == "file",
        )


@dataclass(frozen=True, slots=True)
class Presented:
    """A code that nobody has looked at yet, what its request says of it, and the key that is to come out of it."""

    code_digest: str
    redemption: Redemption
    mismatch_field: str
    key_id: str
    key_digest: str = field(repr=False)
    give_up_on: float
    """On the monotonic clock: when the answer must be known."""


class NotSpent(Exception):  # noqa: N818 - an outcome that only some callers treat as an error
    """The code was not spent by this attempt; ``outcome`` says why. Nothing was changed."""

    def __init__(self, outcome: codes.RedeemOutcome) -> None:
        """``outcome`` is any of the script's but ``ok``."""
        super().__init__(outcome)
        self.outcome = outcome


async def spend(resources: Resources, spending: Spending) -> IssueKeyReply:
    """Spends the code and orders its key: the reply of key_issuer, whatever its outcome.

    Raises:
        NotSpent: the code cannot be redeemed now.
        StoreUnavailable: Redis or key_issuer did not answer in time; the code is being released.
    """
    seconds, number = _seconds_for(resources, spending.give_up_on), spending.stored.attempts + 1
    prepared = resources.bus.prepare(spending.to_command(number=number), seconds)
    attempt = Attempt(
        code_digest=spending.code_digest,
        number=number,
        key_id=spending.key_id,
        message_id=prepared.message_id,
        deadline=resources.bus.time.now() + int(seconds * 1000),
        retry_key=spending.retry_key,
        fingerprint=spending.fingerprint,
    )
    async with _Ordering(resources, attempt, prepared, seconds):
        outcome = await codes.redeem(
            resources, spending.stored.record, attempt, stream=prepared.stream, fields=prepared.fields
        )
        if outcome == "ok":
            await failpoint("auth_api.exchange.redeemed")
            return await prepared.reply()
    prepared.abandon()
    raise NotSpent(outcome)


async def spend_unread(
    resources: Resources, presented: Presented, client: Client
) -> tuple[CodeRecord, IssueKeyReply] | None:
    """Spends a code without looking at it first, as nearly every exchange can: one way to Redis instead of two.

    ``None`` where the code is not good for this request in every point, or not now. Nothing is changed then; read it
    to say why.

    Raises:
        StoreUnavailable: Redis or key_issuer did not answer in time; the code is being released.
    """
    seconds = _seconds_for(resources, presented.give_up_on)
    prepared = resources.bus.prepare(IssueKey.model_construct(), seconds)  # type: ignore[call-arg]
    del prepared.fields[-2:]  # the script writes the body
    attempt = Attempt(
        code_digest=presented.code_digest,
        number=0,  # the script counts
        key_id=presented.key_id,
        message_id=prepared.message_id,
        deadline=resources.bus.time.now() + int(seconds * 1000),
    )
    members = {
        "key_id": presented.key_id,
        "digest": presented.key_digest,
        "code_digest": presented.code_digest,
        "client_id": client.client_id,
    }
    async with _Ordering(resources, attempt, prepared, seconds):
        record = await codes.redeem_unread(
            resources,
            presented.redemption,
            attempt,
            mismatch_field=presented.mismatch_field,
            body=(orjson.dumps(members)[1:-1], orjson.dumps(client.name)),
            stream=prepared.stream,
            fields=prepared.fields,
        )
        if record is not None:
            await failpoint("auth_api.exchange.redeemed")
            return record, await prepared.reply()
    prepared.abandon()
    return None


class _Ordering:
    """From the script that may spend a code to the reply: where this fails, the code is given back."""

    __slots__ = ("_attempt", "_over_on", "_prepared", "_resources")

    def __init__(
        self,
        resources: Resources,
        attempt: Attempt,
        prepared: PreparedRequest[IssueKeyReply],
        seconds: float,
    ) -> None:
        self._resources = resources
        self._attempt = attempt
        self._prepared = prepared
        self._over_on = resources.clock.monotonic() + seconds

    async def __aenter__(self) -> None:
        """It begins."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raises ``StoreUnavailable`` also for what key_issuer could not do."""
        if error is None:
            return
        self._prepared.abandon()
        releasing = self._resources.releases.begin(self._attempt)
        if not isinstance(error, StoreUnavailable | RemoteFailure):
            return
        # Whether the script ran is not known after an outage; releasing what was not spent changes nothing. Who hears
        # of it may try at another replica, so by then the code is released, or there it can be seen to be over.
        patience = max(RELEASE_SECONDS, self._over_on - self._resources.clock.monotonic())
        await asyncio.wait({releasing}, timeout=patience)
        if isinstance(error, RemoteFailure):
            raise BusUnavailable("failed") from error


def _seconds_for(resources: Resources, give_up_on: float) -> float:
    """How long key_issuer has for the key of a request whose answer must be known by then.

    Raises:
        BusUnavailable: it is too late to begin.
    """
    seconds = min(ISSUE_SECONDS, give_up_on - resources.clock.monotonic() - RELEASE_SECONDS)
    if seconds < LEAST_SECONDS:
        raise BusUnavailable("deadline")
    return seconds


def refusal_of(reply: IssueKeyReply) -> OAuthError | None:
    """Why key_issuer made no key, as the client is told; ``None`` where it did.

    The first of many requests with one code gets its key, also where a replay has cost that key its life meanwhile.
    """
    if reply.outcome == "issued" or (reply.outcome == "code_already_used" and reply.key is not None):
        return None
    return unknown_code(_CAUSES[reply.outcome])


async def revoke_replayed(
    resources: Resources, code_digest: str, *, client_id: str, user_id: int | None
) -> bool:
    """Ends the key that came out of a code which was presented again (RFC 6749 §4.1.2); whether there was one.

    ``user_id`` is ``None`` where Redis has forgotten the code.

    Raises:
        StoreUnavailable: key_issuer does not answer: the key may still be alive, so nothing is told of it.
    """
    command = RevokeCode(code_digest=code_digest, client_id=client_id, user_id=user_id)
    try:
        reply = await resources.bus.request(command)
    except RemoteFailure as error:
        raise BusUnavailable("failed") from error
    return reply.found > 0
