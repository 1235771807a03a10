"""Deciding an authorization: what Accept, Create key and Decline do to the request that the person was shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.auth_api import authorize_pages
from services.auth_api.authorize.client_file_flow import order_file_key
from services.auth_api.authorize.consent import Consent, give_code, record_consent
from services.auth_api.authorize.pending_requests import PendingRequest, find_pending
from services.auth_api.codes.store import DECISION_MS, Decision, decision_key
from services.auth_api.device_flow import device_codes
from services.auth_api.oauth.authorization_code import CodeKind, circumstances
from services.auth_api.oauth.authorization_request import authorization_response
from services.auth_api.rate_limit import Throttled
from services.auth_api.resources import Resources
from services.auth_api.sessions.service import read_session
from shared.contracts.authorization import AuthorizationDecided, DecideAuthorization, ErrorPage, Flow
from shared.contracts.keys import KeyView
from shared.telemetry.correlation import correlation

_DECLINED: Final = "declined"
_TRIES: Final = 3
_KINDS: Final[dict[Flow, CodeKind]] = {
    "authorize": "code",
    "request_auth": "code",
    "device": "device",
    "client_file_flow": "file",
}
_REFUSALS: Final = {
    "withdrawn": authorize_pages.WITHDRAWN_REQUEST,
    "stale": authorize_pages.STALE_REQUEST,
    "expired": authorize_pages.EXPIRED_REQUEST,
}
"""By what became of the consent; after every other outcome the request was decided already."""


@dataclass(frozen=True, slots=True)
class _Case:
    """A decision with everything it is about."""

    command: DecideAuthorization
    pending: PendingRequest
    consent: Consent
    """What Accept would mean."""


async def decide_authorization(resources: Resources, command: DecideAuthorization) -> AuthorizationDecided:
    """Carries out what the person decided. The grant follows the record kept here, never the page."""
    kept = await find_pending(resources, command.request_id)
    pending = None if kept is None else kept.brought_back(command.query)
    if pending is None:
        return _refused(authorize_pages.EXPIRED_REQUEST)
    user = await read_session(resources, command.session)
    if user is None or pending.session != command.session or pending.user_id != user.user_id:
        return AuthorizationDecided(outcome="signed_out")
    client = await resources.clients.find(pending.request.client_id)
    if client is None:
        return _refused(authorize_pages.UNKNOWN_CLIENT)
    kind = _KINDS[pending.surface]
    consent = Consent(
        kind=kind,
        user=user,
        client=client,
        request=pending.request,
        begun_on=pending.begun_on,
        given_on=max(resources.clock.now(), pending.begun_on),
        counted_at=pending.counted_at,
        # Where a person may have the same app several times, each on another device.
        label=None if kind == "code" else command.label,
    )
    case = _Case(command, pending, consent)
    try:
        decided = await _decided(resources, case)
    except Throttled as error:
        return _refused(authorize_pages.too_many_requests(error.retry_after))
    if pending.pushed_key is not None:  # good for one authorization (RFC 9126 §4)
        await resources.bus.redis.execute("DEL", pending.pushed_key)
    _note(resources, case, decided)
    return decided


async def _decided(resources: Resources, case: _Case) -> AuthorizationDecided:
    if case.consent.kind == "device":
        return await _decide_device(resources, case)
    if case.command.decision == "decline":
        return await _decline(resources, case)
    if case.consent.kind == "file":
        return await _create_file(resources, case)
    return await _accept(resources, case)


async def _accept(resources: Resources, case: _Case) -> AuthorizationDecided:
    digest = case.command.code_digest
    if digest is None:
        return _refused(authorize_pages.EXPIRED_REQUEST)
    for _ in range(_TRIES):
        seen = await _decision_of(resources, case)
        if seen == _DECLINED:
            break
        outcome = await give_code(
            resources,
            case.consent,
            digest,
            lifetime_ms=resources.settings.code_ttl_seconds * 1000,
            decision=Decision(case.command.request_id, seen),
        )
        if outcome == "stored":
            return _to_client(resources, case, with_code=True)
        if outcome != "decided":
            return _not_given(case, outcome)
    return _not_given(case, "decided")


async def _create_file(resources: Resources, case: _Case) -> AuthorizationDecided:
    command, view = case.command, case.consent.client.view
    if command.key is None:
        return _refused(authorize_pages.EXPIRED_REQUEST)
    decision = Decision(command.request_id, "")
    made = await order_file_key(resources, case.consent, command.key, command.request_id, decision)
    if not isinstance(made, KeyView):
        return _not_given(case, made)
    return AuthorizationDecided(
        outcome="key_created",
        client=view,
        key=made,
        template=view.api_key_format,
        filename=view.api_key_filename,
    )


async def _decline(resources: Resources, case: _Case) -> AuthorizationDecided:
    await resources.bus.redis.execute(
        "SET", decision_key(case.command.request_id), _DECLINED, "NX", "PX", str(DECISION_MS)
    )
    if await _decision_of(resources, case) != _DECLINED:
        return _not_given(case, "decided")
    if case.consent.kind == "file":
        return AuthorizationDecided(outcome="declined", client=case.consent.client.view)
    return _to_client(resources, case, with_code=False)


async def _decide_device(resources: Resources, case: _Case) -> AuthorizationDecided:
    approve = case.command.decision == "accept"
    consent, digest = case.consent, case.pending.device_digest
    if digest is None or (approve and not await record_consent(resources, consent)):
        return _not_given(case, "stale")
    outcome = await device_codes.decide(
        resources,
        digest,
        consent.to_record(),
        circumstances=circumstances(consent.client.redirect_uris, resources.catalogue),
        approve=approve,
        request_id=case.command.request_id,
        begun_on=consent.begun_on,
    )
    if outcome != "done":
        return _not_given(case, "expired" if outcome == "gone" else outcome)
    return AuthorizationDecided(outcome="approved" if approve else "declined", client=consent.client.view)


async def _decision_of(resources: Resources, case: _Case) -> str:
    """What became of the request so far: empty, ``declined``, or the digest of the code that it was given."""
    found = await resources.bus.redis.execute("GET", decision_key(case.command.request_id))
    return "" if found is None else str(found, "ascii")


def _to_client(resources: Resources, case: _Case, *, with_code: bool) -> AuthorizationDecided:
    request = case.pending.request
    return AuthorizationDecided(
        outcome="redirect",
        redirect_uri=None if request.target is None else request.target.redirect_uri,
        parameters=authorization_response(
            resources.settings.public_url,
            state=request.state,
            context=request.context,
            error=None if with_code else "access_denied",
        ),
        with_code=with_code,
        client=case.consent.client.view,
    )


def _not_given(case: _Case, outcome: str) -> AuthorizationDecided:
    page = _REFUSALS.get(outcome)
    if page is not None:
        return _refused(page)
    return AuthorizationDecided(outcome="already_decided", client=case.consent.client.view)


def _refused(page: ErrorPage) -> AuthorizationDecided:
    return AuthorizationDecided(outcome="refused", refusal=page)


def _note(resources: Resources, case: _Case, decided: AuthorizationDecided) -> None:
    error = None if case.command.decision == "accept" else "access_denied"
    if decided.refusal is not None:
        cause, error = decided.refusal.reason, "access_denied"
    elif decided.outcome == "already_decided":
        cause, error = "decided a second time; the first decision stays", None
    else:
        cause = "the person accepted" if error is None else "the person declined"
    resources.activity_log.note(
        case.consent.client.client_id,
        "consent",
        cause,
        by="person",
        error=error,
        request_id=correlation.get(),
    )
