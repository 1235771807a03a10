"""The Client File Flow's key: made once for each consent, by the button of the page or in one call of the REST API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from services.auth_api.authorize.consent import Consent, ConsentOutcome, give_code
from services.auth_api.authorize.pending_requests import LIFETIME_MS
from services.auth_api.codes.store import Decision, RedeemOutcome
from services.auth_api.keys.personal_keys import ConsentWithdrawnError, NewKey
from services.auth_api.oauth.authorization_request import AuthorizationRequest
from services.auth_api.resources import Resources
from services.auth_api.token.redeem import ISSUE_SECONDS, RELEASE_SECONDS, KeyOrder, NotRedeemed, redeem
from shared.api_key import USER_KEY, mint_key
from shared.contracts.authorization import MintedDigests
from shared.contracts.keys import KeyView
from shared.contracts.sessions import SessionUser
from shared.errors import BusUnavailable
from shared.key_file import render_key_file
from shared.secret_tokens import digest_of

NoKey = ConsentOutcome | RedeemOutcome | Literal["used"]
"""Why there is no key; ``used``: one came out of this consent before."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The file that a client's template makes of a new key."""

    filename: str
    content: str = field(repr=False)


async def order_file_key(
    resources: Resources, consent: Consent, key: MintedDigests, name: str, decision: Decision | None = None
) -> KeyView | NoKey:
    """Orders the key with these digests. ``name`` names the consent, which is its own one-time code.

    A first call whose answer got lost in an outage may be repeated; one that succeeded may not.
    """
    digest = digest_of(f"file:{name}")
    given = await give_code(resources, consent, digest, lifetime_ms=LIFETIME_MS, decision=decision)
    if given not in ("stored", "decided"):
        return given
    order = KeyOrder(
        code_digest=digest,
        kind="file",
        client=consent.client,
        key_id=key.key_id,
        key_digest=key.digest,
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
                return found.outcome
            expected["abandoned"] = found.seen["abandoned"]
        else:
            if reply.outcome == "consent_withdrawn":
                return "withdrawn"
            return "used" if reply.outcome != "issued" or reply.key is None else reply.key
    raise BusUnavailable("contended")


async def create_key_file(
    resources: Resources, user: SessionUser, client_id: str, *, peer: str
) -> tuple[NewKey, KeyFile] | None:
    """Makes a key for a client with the permissions it requests, and its file; ``None``: there is no such client.

    Raises:
        ConsentWithdrawnError: account, app or client ended meanwhile, or the site lacks a permission it requests.
        Throttled: the person, or people at this peer, have made too many.
    """
    client = await resources.clients.find(client_id)
    if client is None:
        return None
    begun_on = await resources.codes.now_after_revocations(user.user_id, client_id)
    request = AuthorizationRequest(client_id, None, client.requested_permissions)
    settings = resources.settings
    minted = mint_key(settings.key_prefix, USER_KEY, settings.public_url)
    made = await order_file_key(
        resources,
        Consent(
            "file",
            user,
            client,
            request,
            begun_on=begun_on,
            given_on=begun_on,
            counted_at=resources.limiter.people_at(peer),
        ),
        MintedDigests(key_id=minted.key_id, digest=minted.digest),
        minted.key_id,
    )
    if not isinstance(made, KeyView):
        raise ConsentWithdrawnError
    filename, content = render_key_file(
        client.api_key_format, client.api_key_filename, client.name, minted.token
    )
    return NewKey(made, minted.token), KeyFile(filename, content)
