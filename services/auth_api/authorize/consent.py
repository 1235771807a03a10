"""Acting on a person's consent: the standing grant, then a code that stands for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.auth_api.clients.model import Client
from services.auth_api.codes.store import Decision, StoreOutcome
from services.auth_api.db.repository import ClientGoneError
from services.auth_api.grants.store import record_grant
from services.auth_api.oauth.authorization_code import CodeKind, CodeRecord, circumstances
from services.auth_api.oauth.authorization_request import AuthorizationRequest
from services.auth_api.oauth.redirect_uri import match_redirect_uri
from services.auth_api.resources import Resources
from shared.contracts.sessions import SessionUser

ConsentOutcome = StoreOutcome | Literal["stale"]
"""``stale``: what the person agreed to does not exist any more (client, redirect URI, permission or account)."""


@dataclass(frozen=True, slots=True)
class Consent:
    """A person says yes to a checked request of a client."""

    kind: CodeKind
    user: SessionUser
    client: Client
    request: AuthorizationRequest
    begun_on: int
    """When the person was asked."""
    given_on: int
    """When the person agreed, never before ``begun_on``."""
    counted_at: str = ""
    """Where it is counted what people at this person's peer make us keep."""
    label: str | None = None
    """What the person calls the key that comes of it."""

    def to_record(self) -> CodeRecord:
        """What a code for this consent stands for."""
        target = self.request.target
        return CodeRecord(
            kind=self.kind,
            client_id=self.client.client_id,
            user_id=self.user.user_id,
            username=self.user.username,
            permissions=self.request.permissions,
            consented_on=self.given_on,
            redirect_uri=None if target is None else target.redirect_uri,
            redirect_uri_sent=target is not None and target.sent,
            challenge=self.request.challenge,
            label=self.label,
            external_issuer=self.user.external_issuer,
            external_user=self.user.external_user,
        )


def is_stale(resources: Resources, consent: Consent) -> bool:
    """Whether the client lost the redirect URI or a permission since the request was checked."""
    client, request = consent.client, consent.request
    uri = None if request.target is None else request.target.redirect_uri
    if (
        uri is not None
        and uri not in client.redirect_uris
        and match_redirect_uri(client.redirect_uris, uri) is None
    ):
        return True
    return not all(
        name in client.requested_permissions and name in resources.catalogue for name in request.permissions
    )


async def record_consent(resources: Resources, consent: Consent) -> bool:
    """Adds the consent to the person's standing grant; ``False`` where it has become stale."""
    if is_stale(resources, consent):
        return False
    try:
        return await record_grant(
            resources,
            consent.user.user_id,
            consent.client.client_id,
            consent.request.permissions,
            consent.given_on,
        )
    except ClientGoneError:
        return False


async def give_code(
    resources: Resources,
    consent: Consent,
    digest: str,
    *,
    lifetime_ms: int,
    decision: Decision | None = None,
) -> ConsentOutcome:
    """Records the consent and keeps the code with this digest. The grant comes first: a code never lacks one.

    Raises:
        Throttled: the person, or people at their peer, have been given too many.
    """
    await resources.limiter.take_of_person(consent.user.user_id, consent.counted_at)
    if not await record_consent(resources, consent):
        return "stale"
    return await resources.codes.store(
        digest,
        consent.to_record(),
        circumstances=circumstances(consent.client.redirect_uris, resources.catalogue),
        begun_on=consent.begun_on,
        lifetime_ms=lifetime_ms,
        decision=decision,
    )
