"""Redeeming a code for a key: one script, one command to key_issuer, and the way back when no answer comes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from services.auth_api.clients.model import Client
from services.auth_api.codes.store import Found, RedeemAttempt, Remembered
from services.auth_api.oauth.authorization_code import CodeKind, CodeRecord, unknown_code
from services.auth_api.oauth.errors import OAuthError
from services.auth_api.rate_limit import CLIENT_PEER
from services.auth_api.resources import Resources
from shared.bus import RemoteFailure
from shared.contracts.keys import MOST_ABANDONED, IssueKeyReply, OrderKey
from shared.errors import BusUnavailable, StoreUnavailable
from shared.failpoints import ARMED, failpoint

ISSUE_SECONDS: Final = 2.5
"""How long key_issuer has for one key; past that the command is not started any more."""
RELEASE_SECONDS: Final = 0.4
"""How long an answer of 503 waits for the code to be given back, even after its deadline; the giving back goes on."""
LEAST_SECONDS: Final = 0.3
"""With less time than this left nothing is begun."""

_CAUSES: Final = {
    "code_already_used": "another key came out of this code; that key is revoked now",
    "superseded": "this attempt at the code was given up",
    "consent_withdrawn": "the consent was taken back, or user or client ended, after the code was given",
}


@dataclass(frozen=True, slots=True)
class KeyOrder:
    """A code that is presented, and the key that is to come out of it."""

    code_digest: str
    kind: CodeKind
    client: Client
    key_id: str
    key_digest: str
    requester: str
    """Whose failures are counted: client and peer together."""
    give_up_on: float
    """On the monotonic clock: when the answer must be known."""
    remembered: Remembered | None = None

    def to_command(self, abandoned: str) -> OrderKey:
        """The command without what the person consented to, which the script attaches from the code's record."""
        return OrderKey(
            key_id=self.key_id,
            digest=self.key_digest,
            code_digest=self.code_digest,
            identifier=self.client.name,
            abandoned=tuple(abandoned.split()[-MOST_ABANDONED:]),
            origin=self.kind,
            shown=self.kind == "file",
        )


class NotRedeemed(Exception):  # noqa: N818 - an outcome that only some callers treat as an error
    """The code was not spent by this attempt, and nothing was changed; ``found`` says why."""

    def __init__(self, found: Found) -> None:
        """``found.outcome`` is any but ``spent``, ``late`` and ``throttled``."""
        super().__init__(found.outcome)
        self.found = found


async def redeem(
    resources: Resources, order: KeyOrder, expected: Mapping[str, str]
) -> tuple[CodeRecord, IssueKeyReply]:
    """Spends the code if its fields hold what is expected, and orders its key: the reply, whatever its outcome.

    Raises:
        NotRedeemed: the code cannot be redeemed like this.
        Throttled: the requester has failed too often.
    """
    seconds = _seconds_for(resources, order.give_up_on)
    prepared = resources.bus.prepare(order.to_command(expected.get("abandoned", "")), seconds)
    attempt = RedeemAttempt(
        order.code_digest,
        order.key_id,
        prepared.message_id,
        resources.bus.time.now() + int(seconds * 1000),
        order.remembered,
    )
    try:
        found = await resources.codes.redeem(
            attempt,
            expected,
            failures_key=resources.limiter.key_of(CLIENT_PEER, order.requester),
            paid_off_by=resources.limiter.paid_off_by(CLIENT_PEER),
            stream=prepared.stream,
            fields=prepared.fields,
        )
        if found.record is not None and found.outcome == "spent":
            if ARMED:
                await failpoint("auth_api.exchange.redeemed")
            return found.record, await prepared.reply()
    except BaseException as error:
        prepared.abandon()
        await _give_up(resources, attempt, error, resources.clock.monotonic() + seconds)
        raise
    prepared.abandon()
    if found.outcome == "late":
        raise BusUnavailable("deadline")
    if found.outcome == "throttled":
        raise resources.limiter.throttled(CLIENT_PEER, found.paid_off_on)
    raise NotRedeemed(found)


async def _give_up(
    resources: Resources, attempt: RedeemAttempt, error: BaseException, over_on: float
) -> None:
    """Begins to give the code back, and waits for that a moment where the requester will hear of an outage.

    Raises:
        BusUnavailable: in place of what key_issuer could not do.
    """
    if attempt.remembered is not None and attempt.remembered.again:
        return  # the first answer may have had the key already; the next retry gets it again
    # Whether the script ran is not known after an outage; giving back what was not spent changes nothing. Who hears of
    # it may try at another replica, so by then the code is released, or there it can be seen to be over.
    releasing = resources.releaser.begin(attempt)
    if isinstance(error, StoreUnavailable | RemoteFailure):
        patience = max(RELEASE_SECONDS, over_on - resources.clock.monotonic())
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
