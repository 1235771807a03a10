"""Consent through a first-party front end: the same checks and the same code as through our page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pydantic import Field

from services.auth_api.authorize.consent import Consent, give_code
from services.auth_api.oauth.authorization_request import (
    CREATE_CODE,
    AuthorizationParameters,
    authorization_response,
    check_request,
    target_of,
)
from services.auth_api.oauth.errors import OAuthError, invalid_client
from services.auth_api.oauth.parameters import Parameters
from services.auth_api.resources import Resources
from shared.contracts.sessions import SessionUser
from shared.documents import Document, Milliseconds
from shared.secret_tokens import digest_of, random_base62
from shared.web.redirects import append_parameters

CODE_LENGTH = 43
"""256 bits in base62."""


class CreatedCode(Document):
    """A one-time code and where to send the person with it."""

    code: str = Field(repr=False)
    user_id: int
    created_on: Milliseconds
    expires_in: int
    """Seconds."""
    redirect_to: str = Field(repr=False)


async def create_code(
    resources: Resources,
    user: SessionUser,
    values: dict[str, str],
    permissions: Sequence[str] | None,
    *,
    peer: str,
    request_id: str,
) -> CreatedCode:
    """A code for the client that ``values`` (by the names of ``CREATE_CODE``) asks for.

    Raises:
        OAuthError: what is wrong with the request.
        Throttled: the person, or people at this peer, have been given too many codes.
    """
    parameters = AuthorizationParameters(
        Parameters({**values, **({} if permissions is None else {"permissions": " ".join(permissions)})}),
        CREATE_CODE,
    )
    client = await resources.clients.find(parameters.require("client_id"))
    if client is None:
        raise OAuthError(
            invalid_client("").code, "clientID is not known.", cause="unknown client", status=404
        )
    log = resources.activity_log
    note = partial(log.note, client.client_id, "create-code", by="person", request_id=request_id)
    try:
        target = target_of(parameters, client)
        request = check_request(parameters, client, target, resources.catalogue)
    except OAuthError as error:
        note(cause=error.cause, error=error.code)
        raise
    begun_on = await resources.codes.now_after_revocations(user.user_id, client.client_id)
    counted_at = resources.limiter.people_at(peer)
    consent = Consent(
        "code", user, client, request, begun_on=begun_on, given_on=begun_on, counted_at=counted_at
    )
    code = await _give(resources, consent)
    note(cause="the person accepted")
    response = authorization_response(
        resources.settings.public_url, state=request.state, context=request.context
    )
    return CreatedCode(
        code=code,
        user_id=user.user_id,
        created_on=begun_on,
        expires_in=resources.settings.code_ttl_seconds,
        redirect_to=append_parameters(target.redirect_uri, (("code", code), *response)),
    )


async def _give(resources: Resources, consent: Consent) -> str:
    """The code for a consent."""
    code = random_base62(CODE_LENGTH)
    lifetime_ms = resources.settings.code_ttl_seconds * 1000
    if await give_code(resources, consent, digest_of(code), lifetime_ms=lifetime_ms) != "stored":
        raise OAuthError("access_denied", "The account, the client or the grant has just ended.", status=409)
    return code
