"""The Client File Flow's key: made once per request, however often and from wherever the button is pressed."""

from __future__ import annotations

from services.auth_api import authorize_pages
from services.auth_api.authorize.consent import Consent, ConsentOutcome, give_code
from services.auth_api.authorize.pending_requests import LIFETIME_MS
from services.auth_api.codes.store import Decision, RedeemOutcome
from services.auth_api.resources import Resources
from services.auth_api.token.redeem import ISSUE_SECONDS, RELEASE_SECONDS, KeyOrder, NotRedeemed, redeem
from shared.contracts.authorization import AuthorizationDecided, DecideAuthorization, Refusal
from shared.contracts.keys import IssueKeyReply
from shared.errors import BusUnavailable
from shared.secret_tokens import digest_of


async def create_file_key(
    resources: Resources, consent: Consent, command: DecideAuthorization
) -> AuthorizationDecided:
    """Orders the key whose digests the page sent. The request itself is the one-time code.

    A first press whose answer got lost in an outage may be repeated; one that succeeded may not.

    Raises:
        StoreUnavailable: a store or key_issuer does not answer; there is no live key.
    """
    if command.key is None:
        return _refused(authorize_pages.expired_request())
    digest = digest_of(f"file:{command.request_id}")
    decision = Decision(command.request_id, "", LIFETIME_MS)
    given = await give_code(resources, consent, digest, lifetime_ms=LIFETIME_MS, decision=decision)
    if given not in ("stored", "decided"):
        return _not_given(given)
    order = KeyOrder(
        code_digest=digest,
        kind="file",
        client=consent.client,
        key_id=command.key.key_id,
        key_digest=command.key.digest,
        requester=f"file flow {consent.user.user_id}",
        give_up_on=resources.clock.monotonic() + ISSUE_SECONDS + RELEASE_SECONDS,
    )
    expected = {"state": "", "abandoned": ""}
    for _ in range(2):
        try:
            _, reply = await redeem(resources, order, expected)
        except NotRedeemed as refused:
            found = refused.found
            if found.outcome != "different" or found.seen["state"]:
                return _not_redeemed(consent, found.outcome)
            expected["abandoned"] = found.seen["abandoned"]
        else:
            return _created(consent, reply)
    raise BusUnavailable("contended")


def _not_given(outcome: ConsentOutcome) -> AuthorizationDecided:
    if outcome == "withdrawn":
        return _refused(authorize_pages.withdrawn_request())
    return _refused(
        authorize_pages.stale_request() if outcome == "stale" else authorize_pages.expired_request()
    )


def _not_redeemed(consent: Consent, outcome: RedeemOutcome) -> AuthorizationDecided:
    if outcome == "withdrawn":
        return _refused(authorize_pages.withdrawn_request())
    if outcome == "expired":
        return _refused(authorize_pages.expired_request())
    # Also where there is no such code: the request was declined before.
    return AuthorizationDecided(outcome="already_decided", client=consent.client.to_view())


def _created(consent: Consent, reply: IssueKeyReply) -> AuthorizationDecided:
    view = consent.client.to_view()
    if reply.outcome == "consent_withdrawn":
        return _refused(authorize_pages.withdrawn_request())
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
