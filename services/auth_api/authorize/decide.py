"""Deciding an authorization: what Accept, Create key and Decline do to the request that the person was shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.auth_api import authorize_pages
from services.auth_api.authorize.client_file_flow import create_file_key
from services.auth_api.authorize.consent import Consent, give_code, is_stale, record_consent
from services.auth_api.authorize.pending_requests import LIFETIME_MS, PendingRequest, find_pending
from services.auth_api.authorize.pushed_requests import use_up
from services.auth_api.clients.model import Client
from services.auth_api.codes.store import Decision, decision_key
from services.auth_api.device_flow import device_codes
from services.auth_api.oauth import authorization_response
from services.auth_api.oauth.authorization_code import CodeKind, circumstances
from services.auth_api.resources import Resources
from services.auth_api.sessions.service import read_session
from shared.contracts.authorization import AuthorizationDecided, DecideAuthorization, Refusal, Surface
from shared.contracts.sessions import SessionUser
from shared.telemetry.correlation import correlation

_DECLINED: Final = "declined"
_TRIES: Final = 3
_KINDS: Final[dict[Surface, CodeKind]] = {
    "authorize": "code",
    "request_auth": "code",
    "device": "device",
    "client_file_flow": "file",
}
_LABELLED: Final[tuple[Surface, ...]] = ("device", "client_file_flow")
"""Where a person may have the same app several times, each on another device."""


@dataclass(frozen=True, slots=True)
class _Case:
    """A decision with everything it is about."""

    command: DecideAuthorization
    pending: PendingRequest
    user: SessionUser
    client: Client

    def to_consent(self, now: int) -> Consent:
        return Consent(
            kind=_KINDS[self.pending.surface],
            user=self.user,
            client=self.client,
            request=self.pending.request,
            begun_on=self.pending.begun_on,
            given_on=max(now, self.pending.begun_on),
            label=self.command.label if self.pending.surface in _LABELLED else None,
        )


async def decide_authorization(resources: Resources, command: DecideAuthorization) -> AuthorizationDecided:
    """Carries out what the person decided. The grant follows the record kept here, never the page.

    Raises:
        StoreUnavailable: a store does not answer; nothing was given, and the person may decide again.
    """
    pending = await find_pending(resources, command.request_id)
    if pending is None:
        return _refused(authorize_pages.expired_request())
    user = await read_session(resources, command.session)
    if user is None or pending.session != command.session or pending.user_id != user.user_id:
        return AuthorizationDecided(outcome="signed_out")
    client = await resources.clients.find(pending.request.client_id)
    if client is None:
        return _refused(authorize_pages.unknown_client())
    case = _Case(command, pending, user, client)
    decided = await (_accept if command.decision == "accept" else _decline)(resources, case)
    await use_up(resources, pending.pushed_key)
    _note(resources, case, decided)
    return decided


async def _accept(resources: Resources, case: _Case) -> AuthorizationDecided:
    consent = case.to_consent(resources.clock.now())
    if is_stale(resources, consent):
        return _refused(authorize_pages.stale_request())
    if case.pending.surface == "device":
        return await _decide_device(resources, case, consent, approve=True)
    if case.pending.surface == "client_file_flow":
        return await create_file_key(resources, consent, case.command)
    return await _accept_redirect(resources, case, consent)


async def _accept_redirect(resources: Resources, case: _Case, consent: Consent) -> AuthorizationDecided:
    digest = case.command.code_digest
    if digest is None:
        return _refused(authorize_pages.expired_request())
    for _ in range(_TRIES):
        seen = await _decision_of(resources, case)
        if seen == _DECLINED:
            break
        decision = Decision(case.command.request_id, seen, LIFETIME_MS)
        outcome = await give_code(
            resources,
            consent,
            digest,
            lifetime_ms=resources.settings.code_ttl_seconds * 1000,
            decision=decision,
        )
        if outcome == "stored":
            return _to_client(resources, case, with_code=True)
        if outcome == "withdrawn":
            return _refused(authorize_pages.withdrawn_request())
        if outcome == "stale":
            return _refused(authorize_pages.stale_request())
        if outcome == "spent":
            break
    return AuthorizationDecided(outcome="already_decided", client=case.client.to_view())


async def _decline(resources: Resources, case: _Case) -> AuthorizationDecided:
    if case.pending.surface == "device":
        return await _decide_device(resources, case, case.to_consent(resources.clock.now()), approve=False)
    await resources.bus.redis.execute(
        "SET", decision_key(case.command.request_id), _DECLINED, "NX", "PX", str(LIFETIME_MS)
    )
    if await _decision_of(resources, case) != _DECLINED:
        return AuthorizationDecided(outcome="already_decided", client=case.client.to_view())
    if case.pending.surface == "client_file_flow":
        return AuthorizationDecided(outcome="declined", client=case.client.to_view())
    return _to_client(resources, case, with_code=False)


async def _decide_device(
    resources: Resources, case: _Case, consent: Consent, *, approve: bool
) -> AuthorizationDecided:
    digest = case.pending.device_digest
    if digest is None or (approve and not await record_consent(resources, consent)):
        return _refused(authorize_pages.stale_request())
    outcome = await device_codes.decide(
        resources,
        digest,
        consent.to_record(),
        circumstances=circumstances(case.client.redirect_uris, resources.catalogue),
        approve=approve,
        request_id=case.command.request_id,
        begun_on=consent.begun_on,
    )
    if outcome == "done":
        return AuthorizationDecided(
            outcome="approved" if approve else "declined", client=case.client.to_view()
        )
    if outcome == "decided":
        return AuthorizationDecided(outcome="already_decided", client=case.client.to_view())
    return _refused(
        authorize_pages.withdrawn_request() if outcome == "withdrawn" else authorize_pages.expired_request()
    )


async def _decision_of(resources: Resources, case: _Case) -> str:
    """What became of the request so far: empty, ``declined``, or the digest of the code that it was given."""
    found = await resources.bus.redis.execute("GET", decision_key(case.command.request_id))
    return "" if found is None else str(found, "ascii")


def _to_client(resources: Resources, case: _Case, *, with_code: bool) -> AuthorizationDecided:
    request = case.pending.request
    target = request.target
    answer = authorization_response.accepted if with_code else authorization_response.declined
    return AuthorizationDecided(
        outcome="redirect",
        redirect_uri=None if target is None else target.redirect_uri,
        parameters=answer(resources.settings.public_url, state=request.state, context=request.context),
        with_code=with_code,
        client=case.client.to_view(),
    )


def _refused(refusal: Refusal) -> AuthorizationDecided:
    return AuthorizationDecided(outcome="refused", refusal=refusal)


def _note(resources: Resources, case: _Case, decided: AuthorizationDecided) -> None:
    accepted = case.command.decision == "accept"
    error = None
    if decided.outcome == "refused" and decided.refusal is not None:
        cause, error = decided.refusal.reason, "access_denied"
    elif decided.outcome == "already_decided":
        cause = "decided a second time; the first decision stays"
    else:
        cause = "the person accepted" if accepted else "the person declined"
        error = None if accepted else "access_denied"
    resources.activity_log.note(
        case.client.client_id, "consent", cause, error=error, request_id=correlation.get()
    )
