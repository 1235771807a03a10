"""Preparing an authorization: from a query as it arrived to a consent page, a sign-in, a redirect or an error page."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from services.auth_api import authorize_pages
from services.auth_api.authorize import pushed_requests
from services.auth_api.authorize.pending_requests import LIFETIME_MS, PendingRequest, store_pending
from services.auth_api.clients.model import Client
from services.auth_api.device_flow import device_codes
from services.auth_api.grants.store import count_people, find_grant
from services.auth_api.oauth import authorization_response
from services.auth_api.oauth.authorization_request import (
    AUTHORIZE,
    REQUEST_AUTH,
    AuthorizationRequest,
    Question,
    Target,
    check_permissions,
    check_request,
    client_id_of,
    read_question,
    target_of,
)
from services.auth_api.oauth.errors import CONSENT_REQUIRED, LOGIN_REQUIRED, OAuthError
from services.auth_api.resources import Resources
from services.auth_api.sessions.service import read_session
from shared.contracts.authorization import (
    ConsentRequest,
    PrepareAuthorization,
    PreparedAuthorization,
    Refusal,
    Surface,
)
from shared.contracts.sessions import SessionUser
from shared.return_to import sign_target
from shared.web.redirects import append_parameters

_SPELLING = {"authorize": AUTHORIZE, "request_auth": REQUEST_AUTH}
_STEPS: dict[Surface, str] = {
    "authorize": "authorize",
    "request_auth": "authorize",
    "client_file_flow": "file flow",
    "device": "device",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that may be put to the person, and by whom."""

    client: Client
    request: AuthorizationRequest
    device_digest: str | None = None
    user_code: str | None = None
    pushed_key: str | None = None


class PageError(Exception):
    """The request ends on an error page of ours: nothing is known of where a redirect might go."""

    def __init__(self, refusal: Refusal) -> None:
        """``refusal`` is what the page says."""
        super().__init__(refusal.title)
        self.refusal = refusal


class RedirectError(Exception):
    """The request ends at the client: who asks and where the answer goes is verified."""

    def __init__(self, location: str) -> None:
        """``location`` is the whole address."""
        super().__init__("redirect")
        self.location = location


async def prepare_authorization(resources: Resources, command: PrepareAuthorization) -> PreparedAuthorization:
    """What the browser gets for a request as it arrived; a consent page is kept for 10 minutes.

    Raises:
        StoreUnavailable: a store does not answer.
    """
    user = None if command.session is None else await read_session(resources, command.session)
    try:
        return await _prepare(resources, command, user)
    except PageError as error:
        return PreparedAuthorization(outcome="refused", refusal=error.refusal, user=user)
    except RedirectError as error:
        return PreparedAuthorization(outcome="redirect", location=error.location)


async def _prepare(
    resources: Resources, command: PrepareAuthorization, user: SessionUser | None
) -> PreparedAuthorization:
    if command.surface == "device":
        if user is None:
            return _sign_in(resources, command)
        asked = await _asked_by_device(resources, command, user)
    elif command.surface == "client_file_flow":
        asked = await _asked_for_file(resources, command)
    else:
        asked = await _asked_by_query(resources, command)
    if asked.request.silent:
        _refuse_silently(resources, command, asked, signed_in=user is not None)
    if user is None or command.session is None:
        return _sign_in(resources, command)
    return await _consent_page(resources, command, asked, user, command.session)


async def _asked_by_query(resources: Resources, command: PrepareAuthorization) -> Asked:
    question = read_question(command.query, _SPELLING[command.surface])
    pushed_key = None
    try:
        client_id = client_id_of(question)
        if command.surface == "authorize" and question.parameters.get("request_uri") is not None:
            question, pushed_key = await pushed_requests.find_pushed(resources, question, client_id)
    except OAuthError as error:
        raise PageError(authorize_pages.broken_link(error)) from None
    client = await _known_client(resources, client_id)
    try:
        target = target_of(question, client)
    except OAuthError as error:
        _note(resources, command, client, error)
        raise PageError(authorize_pages.broken_link(error)) from None
    try:
        request = check_request(question, client, target)
        check_permissions(request, client.requested_permissions, resources.catalogue)
    except OAuthError as error:
        _note(resources, command, client, error)
        raise RedirectError(_error_location(resources, question, target, error)) from None
    return Asked(client, request, pushed_key=pushed_key)


async def _asked_for_file(resources: Resources, command: PrepareAuthorization) -> Asked:
    question = read_question(command.query[:1], {"client_id": "client_id"})
    try:
        client = await _known_client(resources, client_id_of(question))
        request = check_request(question, client, None)
        check_permissions(request, client.requested_permissions, resources.catalogue)
    except OAuthError as error:
        raise PageError(authorize_pages.broken_link(error)) from None
    return Asked(client, request)


async def _asked_by_device(resources: Resources, command: PrepareAuthorization, user: SessionUser) -> Asked:
    given = next((value for name, value in command.query if name == "user_code"), "")
    found = await device_codes.look_up(resources, given, user, command.peer)
    if isinstance(found, Refusal):
        raise PageError(found)
    client = await _known_client(resources, found.client_id)
    request = AuthorizationRequest(client.client_id, None, found.permissions)
    try:
        check_permissions(request, client.requested_permissions, resources.catalogue)
    except OAuthError as error:
        raise PageError(authorize_pages.broken_link(error)) from None
    return Asked(client, request, device_digest=found.device_digest, user_code=found.user_code)


async def _known_client(resources: Resources, client_id: str) -> Client:
    client = await resources.clients.find(client_id)
    if client is None:
        raise PageError(authorize_pages.unknown_client())
    return client


def _refuse_silently(
    resources: Resources, command: PrepareAuthorization, asked: Asked, *, signed_in: bool
) -> None:
    """``prompt=none``: a key lives long, so nobody is ever connected without being shown the page."""
    target = asked.request.target
    if target is None:
        return
    code = CONSENT_REQUIRED if signed_in else LOGIN_REQUIRED
    error = OAuthError(code, "The person has to be shown a page.", cause="prompt=none is always refused")
    _note(resources, command, asked.client, error)
    parameters = authorization_response.refused(
        error, resources.settings.public_url, state=asked.request.state, context=asked.request.context
    )
    raise RedirectError(append_parameters(target.redirect_uri, parameters))


def _sign_in(resources: Resources, command: PrepareAuthorization) -> PreparedAuthorization:
    signed = sign_target(resources.settings.secrets, command.target)
    return PreparedAuthorization(outcome="sign_in", continue_id=signed)


async def _consent_page(
    resources: Resources, command: PrepareAuthorization, asked: Asked, user: SessionUser, session: str
) -> PreparedAuthorization:
    client, request = asked.client, asked.request
    begun_on = await resources.codes.now_after_revocations(user.user_id, client.client_id)
    grant, people = await asyncio.gather(
        find_grant(resources, user.user_id, client.client_id), count_people(resources, client.client_id)
    )
    pending = PendingRequest(
        surface=command.surface,
        session=session,
        user_id=user.user_id,
        request=request,
        begun_on=begun_on,
        expires_on=resources.clock.now() + LIFETIME_MS,
        device_digest=asked.device_digest,
        pushed_key=asked.pushed_key,
    )
    request_id = await store_pending(resources, pending)
    resources.activity_log.note(
        client.client_id, _STEPS[command.surface], "the consent page was shown", request_id=command.request_id
    )
    granted = () if grant is None else grant.permissions
    return PreparedAuthorization(
        outcome="consent",
        consent=ConsentRequest(
            request_id=request_id,
            client=client.to_view(),
            permissions=request.permissions,
            user=user,
            redirect_uri=None if request.target is None else request.target.redirect_uri,
            first_time=grant is None,
            new_permissions=tuple(name for name in request.permissions if name not in granted),
            people=people,
            user_code=asked.user_code,
            expires_on=pending.expires_on,
        ),
    )


def _error_location(resources: Resources, question: Question, target: Target, error: OAuthError) -> str:
    parameters = authorization_response.refused(
        error,
        resources.settings.public_url,
        state=question.get("state"),
        context=question.get("context"),
    )
    return append_parameters(target.redirect_uri, parameters)


def _note(resources: Resources, command: PrepareAuthorization, client: Client, error: OAuthError) -> None:
    resources.activity_log.note(
        client.client_id,
        _STEPS[command.surface],
        error.cause,
        error=error.code,
        request_id=command.request_id,
    )
