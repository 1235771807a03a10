"""Preparing an authorization: from a query as it arrived to a consent page, a sign-in, a redirect or an error page."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from services.auth_api.authorize.pending_requests import (
    FLOW_NAMES,
    LIFETIME_MS,
    PendingRequest,
    store_pending,
)
from services.auth_api.authorize.pushed_requests import find_pushed
from services.auth_api.authorize_pages import UNKNOWN_CLIENT, broken_link, too_many_requests
from services.auth_api.clients.model import Client
from services.auth_api.device_flow.device_codes import WaitingDevice, look_up
from services.auth_api.grants.store import count_people, find_grant
from services.auth_api.oauth.authorization_request import (
    AuthorizationParameters,
    AuthorizationRequest,
    Target,
    authorization_response,
    check_permissions,
    check_request,
    client_id_of,
    sort_parameters,
    target_of,
)
from services.auth_api.oauth.errors import OAuthError
from services.auth_api.rate_limit import Throttled
from services.auth_api.resources import Resources
from services.auth_api.sessions.service import read_session
from shared.contracts.authorization import (
    ConsentRequest,
    ErrorPage,
    Flow,
    PrepareAuthorization,
    PreparedAuthorization,
)
from shared.contracts.sessions import SessionUser
from shared.web.redirects import append_parameters

_STEPS: Final[dict[Flow, str]] = {
    "authorize": "authorize",
    "request_auth": "authorize",
    "client_file_flow": "file flow",
    "device": "device",
}


@dataclass(frozen=True, slots=True)
class ValidatedRequest:
    """A request that may be put to the person, and the client that asks."""

    client: Client
    request: AuthorizationRequest
    device: WaitingDevice | None = None
    pushed_key: str | None = None


class _NoConsentPage(Exception):  # noqa: N818 - an answer like any other
    """The browser gets something else."""

    def __init__(self, answer: PreparedAuthorization) -> None:
        super().__init__(answer.outcome)
        self.answer = answer


async def prepare_authorization(resources: Resources, command: PrepareAuthorization) -> PreparedAuthorization:
    """What the browser gets for a request as it arrived; a consent page is kept for 10 minutes."""
    user = None if command.session is None else await read_session(resources, command.session)
    try:
        return await _prepare(resources, command, user)
    except _NoConsentPage as ended:
        return ended.answer.model_copy(update={"user": user})


async def denied_location(
    resources: Resources, command: PrepareAuthorization, description: str
) -> str | None:
    """Where the app that waits hears that the person was refused (RFC 6749 §4.1.2.1); ``None`` where none can be told."""
    try:
        validated = await _validated_query(resources, command, signed_in=False)
    except _NoConsentPage as ended:
        return ended.answer.location
    request, target = validated.request, validated.request.target
    if target is None:
        return None
    response = authorization_response(
        resources.settings.public_url,
        state=request.state,
        context=request.context,
        error="access_denied",
        description=description,
    )
    return append_parameters(target.redirect_uri, response)


async def _prepare(
    resources: Resources, command: PrepareAuthorization, user: SessionUser | None
) -> PreparedAuthorization:
    if command.surface == "device":
        if user is None:
            raise _sign_in()
        validated = await _validated_device(resources, command, user)
    elif command.surface == "client_file_flow":
        client = await _client(resources, _first(command, "client_id"))
        validated = _validated(resources, client, client.requested_permissions)
    else:
        validated = await _validated_query(resources, command, signed_in=user is not None)
    if user is None or command.session is None:
        raise _sign_in()
    return await _consent_page(resources, command, validated, user, command.session)


async def _validated_query(
    resources: Resources, command: PrepareAuthorization, *, signed_in: bool
) -> ValidatedRequest:
    parameters = sort_parameters(command.query, FLOW_NAMES[command.surface])
    pushed_key = None
    try:
        client_id = client_id_of(parameters)
        if command.surface == "authorize" and parameters.get("request_uri") is not None:
            parameters, pushed_key = await find_pushed(resources, parameters, client_id)
    except OAuthError as error:
        raise _error_page(broken_link(error)) from None
    client = await _client(resources, client_id)
    try:
        target = target_of(parameters, client)
    except OAuthError as error:
        _note(resources, command, client, error, signed_in=signed_in)
        raise _error_page(broken_link(error)) from None
    try:
        request = check_request(parameters, client, target, resources.catalogue)
        if request.silent:
            _refuse_silently(signed_in=signed_in)
    except OAuthError as error:
        _note(resources, command, client, error, signed_in=signed_in)
        raise _error_redirect(resources, parameters, target, error) from None
    return ValidatedRequest(client, request, pushed_key=pushed_key)


async def _validated_device(
    resources: Resources, command: PrepareAuthorization, user: SessionUser
) -> ValidatedRequest:
    device = await look_up(resources, _first(command, "user_code"), user, command.peer)
    if isinstance(device, ErrorPage):
        raise _error_page(device)
    return _validated(resources, await _client(resources, device.client_id), device.permissions, device)


def _validated(
    resources: Resources, client: Client, permissions: tuple[str, ...], device: WaitingDevice | None = None
) -> ValidatedRequest:
    """A request that ends on our own pages."""
    try:
        check_permissions(permissions, client.requested_permissions, resources.catalogue)
    except OAuthError as error:
        raise _error_page(broken_link(error)) from None
    return ValidatedRequest(client, AuthorizationRequest(client.client_id, None, permissions), device)


async def _client(resources: Resources, client_id: str) -> Client:
    client = await resources.clients.find(client_id)
    if client is None:
        raise _error_page(UNKNOWN_CLIENT)
    return client


def _first(command: PrepareAuthorization, name: str) -> str:
    return next((value for sent, value in command.query if sent == name), "")


def _refuse_silently(*, signed_in: bool) -> None:
    """``prompt=none``: a key lives long, so no client is ever connected without the page being shown."""
    raise OAuthError(
        "consent_required" if signed_in else "login_required",
        "The person has to be shown a page.",
        cause="prompt=none is always refused",
    )


def _sign_in() -> _NoConsentPage:
    return _NoConsentPage(PreparedAuthorization(outcome="sign_in"))


def _error_page(page: ErrorPage) -> _NoConsentPage:
    """Nothing is known of where a redirect might go."""
    return _NoConsentPage(PreparedAuthorization(outcome="refused", refusal=page))


def _error_redirect(
    resources: Resources, parameters: AuthorizationParameters, target: Target, error: OAuthError
) -> _NoConsentPage:
    """The client and where the answer goes are verified."""
    response = authorization_response(
        resources.settings.public_url,
        state=parameters.get("state"),
        context=parameters.get("context"),
        error=error.code,
        description=error.description.replace('"', "'"),
    )
    location = append_parameters(target.redirect_uri, response)
    return _NoConsentPage(PreparedAuthorization(outcome="redirect", location=location))


async def _counted(resources: Resources, command: PrepareAuthorization, user: SessionUser) -> str:
    """Counts one more consent page that is kept for a person; where those at the same peer are counted."""
    counted_at = resources.limiter.people_behind(command.peer)
    try:
        await resources.limiter.take_of_person(user.user_id, counted_at)
    except Throttled as error:
        raise _error_page(too_many_requests(error.retry_after)) from None
    return counted_at


async def _consent_page(
    resources: Resources,
    command: PrepareAuthorization,
    validated: ValidatedRequest,
    user: SessionUser,
    session: str,
) -> PreparedAuthorization:
    client, request, device = validated.client, validated.request, validated.device
    counted_at = await _counted(resources, command, user)
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
        device_digest=None if device is None else device.device_digest,
        pushed_key=validated.pushed_key,
        counted_at=counted_at,
    )
    kept = pending.without_passing() if command.brings_back else pending
    request_id = await store_pending(resources, kept)
    resources.activity_log.note(
        client.client_id,
        _STEPS[command.surface],
        "the consent page was shown",
        by="person",
        request_id=command.request_id,
    )
    granted = () if grant is None else grant.permissions
    return PreparedAuthorization(
        outcome="consent",
        consent=ConsentRequest(
            request_id=request_id,
            client=client.view,
            permissions=request.permissions,
            user=user,
            redirect_uri=None if request.target is None else request.target.redirect_uri,
            first_time=grant is None,
            new_permissions=tuple(name for name in request.permissions if name not in granted),
            people=people,
            user_code=None if device is None else device.user_code,
            expires_on=pending.expires_on,
        ),
    )


def _note(
    resources: Resources,
    command: PrepareAuthorization,
    client: Client,
    error: OAuthError,
    *,
    signed_in: bool,
) -> None:
    resources.activity_log.note(
        client.client_id,
        _STEPS[command.surface],
        error.cause,
        by="person" if signed_in else "nobody",
        error=error.code,
        request_id=command.request_id,
    )
