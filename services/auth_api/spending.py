"""Spending a code for a key: one script, one command to key_issuer, and the way back when no answer comes."""

from __future__ import annotations

import asyncio
from dataclasses import field
from typing import Final

from services.auth_api import codes
from services.auth_api.client import Client
from services.auth_api.codes import Attempt, StoredCode
from services.auth_api.oauth.authorization_code import unknown_code
from services.auth_api.oauth.errors import OAuthError
from services.auth_api.resources import Resources
from shared.bus import RemoteFailure
from shared.contracts.keys import IssueKey, IssueKeyReply, KeyOrigin, RevokeCode
from shared.errors import BusUnavailable, StoreUnavailable
from shared.failpoints import failpoint
from shared.frozen import frozen

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


@frozen
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
    clock = resources.clock
    seconds = min(ISSUE_SECONDS, spending.give_up_on - clock.monotonic() - RELEASE_SECONDS)
    if seconds < LEAST_SECONDS:
        raise BusUnavailable("deadline")
    number, over_on = spending.stored.attempts + 1, clock.monotonic() + seconds
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
    try:
        outcome = await codes.redeem(
            resources, spending.stored.record, attempt, stream=prepared.stream, fields=prepared.fields
        )
        if outcome == "ok":
            await failpoint("auth_api.exchange.redeemed")
            return await prepared.reply()
    except (StoreUnavailable, RemoteFailure) as error:
        # Whether the script ran is not known after an outage; releasing what was not spent changes nothing. Who hears
        # of it may try at another replica, so by then the code is released, or there it can be seen to be over.
        prepared.abandon()
        patience = max(RELEASE_SECONDS, over_on - clock.monotonic())
        await asyncio.wait({resources.releases.begin(attempt)}, timeout=patience)
        raise error if isinstance(error, StoreUnavailable) else BusUnavailable("failed") from error
    except BaseException:
        prepared.abandon()
        resources.releases.begin(attempt)
        raise
    prepared.abandon()
    raise NotSpent(outcome)


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
