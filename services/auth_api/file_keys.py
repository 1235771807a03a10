"""The Client File Flow's key: made once per request, however often and from wherever the button is pressed."""

from __future__ import annotations

from typing import Final

from services.auth_api import codes, refusals
from services.auth_api.codes import StoredCode
from services.auth_api.consents import Consent, ConsentOutcome, give_code
from services.auth_api.pending_requests import LIFETIME_MS
from services.auth_api.resources import Resources
from services.auth_api.spending import ISSUE_SECONDS, RELEASE_SECONDS, NotSpent, Spending, spend
from shared.bus import RemoteFailure
from shared.contracts.authorization import AuthorizationDecided, DecideAuthorization, MintedDigests, Refusal
from shared.contracts.keys import ConfirmDelivery, IssueKeyReply
from shared.errors import StoreUnavailable
from shared.secret_tokens import digest_of

_MISMATCHES: Final = "mismatches"


async def create_file_key(
    resources: Resources, consent: Consent, command: DecideAuthorization
) -> AuthorizationDecided:
    """Orders the key whose digests the page sent. The request itself is the one-time code.

    A first press whose answer got lost in an outage may be repeated; one that succeeded may not.

    Raises:
        StoreUnavailable: a store or key_issuer does not answer; there is no live key.
    """
    digest = digest_of(f"file:{command.request_id}")
    decision = codes.Decision(command.request_id, "", LIFETIME_MS)
    given = await give_code(resources, consent, digest, lifetime_ms=LIFETIME_MS, decision=decision)
    stored = await codes.find(resources, digest, mismatch_field=_MISMATCHES)
    if given == "decided" and stored is None:
        return AuthorizationDecided(
            outcome="already_decided", client=consent.client.to_view()
        )  # declined before
    if given not in ("stored", "decided") or stored is None or command.key is None:
        return _not_given(given)
    try:
        reply = await spend(resources, _spending(resources, consent, digest, stored, command.key))
    except NotSpent as refused:
        return _not_spent(consent, refused.outcome)
    if reply.outcome == "issued":
        await _confirm(resources, command.key.key_id)
    return _created(consent, reply)


def _not_given(outcome: ConsentOutcome) -> AuthorizationDecided:
    if outcome == "withdrawn":
        return _refused(refusals.withdrawn_request())
    return _refused(refusals.stale_request() if outcome == "stale" else refusals.expired_request())


def _not_spent(consent: Consent, outcome: codes.RedeemOutcome) -> AuthorizationDecided:
    if outcome == "withdrawn":
        return _refused(refusals.withdrawn_request())
    if outcome in ("gone", "expired"):
        return _refused(refusals.expired_request())
    return AuthorizationDecided(outcome="already_decided", client=consent.client.to_view())


def _spending(
    resources: Resources, consent: Consent, digest: str, stored: StoredCode, key: MintedDigests
) -> Spending:
    return Spending(
        code_digest=digest,
        stored=stored,
        client=consent.client,
        key_id=key.key_id,
        key_digest=key.digest,
        give_up_on=resources.clock.monotonic() + ISSUE_SECONDS + RELEASE_SECONDS,
    )


async def _confirm(resources: Resources, key_id: str) -> None:
    # The page shows the key in this very answer, and the person's next look at their keys must show it too.
    try:
        await resources.bus.request(ConfirmDelivery(key_ids=(key_id,)), 0.5)
    except (StoreUnavailable, RemoteFailure):
        resources.deliveries.delivered(key_id)


def _created(consent: Consent, reply: IssueKeyReply) -> AuthorizationDecided:
    view = consent.client.to_view()
    if reply.outcome == "consent_withdrawn":
        return _refused(refusals.withdrawn_request())
    if reply.outcome != "issued" or reply.key is None:
        return AuthorizationDecided(outcome="already_decided", client=view)
    return AuthorizationDecided(
        outcome="key_created",
        client=view,
        key=reply.key,
        template=view.api_key_format,
        filename=view.api_key_filename,
    )


def _refused(refusal: Refusal) -> AuthorizationDecided:
    return AuthorizationDecided(outcome="refused", refusal=refusal)
