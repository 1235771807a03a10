"""`/login/oidc…`: the browser's way to the OpenID provider and back, and the provider's own word that somebody left."""

from __future__ import annotations

from typing import Final

import structlog
from aiohttp import web

from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.arrivals import (
    LINKED,
    arrived,
    led_to_linking,
    led_to_login,
    not_signed_in,
    under_way,
    wanted_target,
    way_on,
)
from services.auth_api.handlers.signed_in import signed_in
from services.auth_api.own_login.arrival import Arrived, NotArrivedError
from services.auth_api.own_login.oidc_logout import log_out
from services.auth_api.own_login.oidc_provider import OidcProvider, ProviderUnavailable
from services.auth_api.own_login.oidc_sign_in import NotBelievedError, arrive, begin
from services.auth_api.own_login.oidc_tokens import TokenError
from services.auth_api.resources import Resources
from shared.web.body import query_pairs, read_form
from shared.web.cookies import read_session_cookie
from shared.web.failures import Problem

_TROUBLE: Final = (
    "The login that you were sent to does not answer right now. Nothing is lost: try again in a moment."
)
_NOT_BELIEVED: Final = (
    "What the login answered does not prove who you are. If it stays so, tell the people who run this site."
)

_log = structlog.get_logger("latchkey.oidc")


async def begin_sign_in(request: web.Request) -> web.Response:
    """GET ``/login/oidc?continue=``: 303 to the provider; 404 where there is none, 503 where it does not answer."""
    resources, provider = _where_there_is_one(request)
    try:
        begun = await begin(resources, provider, wanted_target(request), under_way(request))
    except ProviderUnavailable as error:
        return _trouble(request, error)
    return led_to_login(request, begun)


async def begin_linking(request: web.Request) -> web.Response:
    """POST ``/login/oidc/link``, from the account's page: on to the login, which then belongs to the account as well."""
    resources, provider = _where_there_is_one(request)
    user = await signed_in(request)
    try:
        begun = await begin(resources, provider, LINKED, under_way(request), user.user_id)
    except ProviderUnavailable as error:
        return _trouble(request, error)
    return led_to_linking(request, begun)


async def finish_sign_in(request: web.Request) -> web.Response:
    """GET ``/login/oidc/callback``: 303 to where the person was going, signed in; a page with a way on otherwise.

    400 for the state or the issuer, 403 for the token or the person, 503 for a provider in trouble.
    """
    _, provider = _where_there_is_one(request)
    try:
        return await arrived(request, _arriving(request), provider.issuer)
    except NotBelievedError as error:
        return await not_signed_in(request, "provider not believed", _NOT_BELIEVED, error.target)
    except ProviderUnavailable as error:
        return _trouble(request, error)


async def _arriving(request: web.Request) -> Arrived:
    resources, provider = _where_there_is_one(request)
    session_id = read_session_cookie(request, resources.settings)
    return await arrive(
        resources, provider, _once_each(request), cookie=under_way(request), session_id=session_id
    )


async def backchannel_logout(request: web.Request) -> web.Response:
    """POST ``/login/oidc/backchannel-logout``: 200 once what the ``logout_token`` names is over; 400 for any other."""
    resources, provider = _where_there_is_one(request)
    tokens = [value for name, value in await read_form(request) if name == "logout_token"]
    if len(tokens) != 1:
        raise Problem(400, "logout_token is missing or there twice.", code="invalid_request")
    try:
        await log_out(resources, provider, tokens[0])
    except TokenError as error:
        _log.warning("logout_not_believed", issuer=provider.issuer, cause=str(error))
        raise Problem(
            400, f"The logout_token is not to be believed: {error}.", code="invalid_request"
        ) from None
    return web.Response(headers={"Cache-Control": "no-store"})


def _once_each(request: web.Request) -> dict[str, str]:
    """The parameters of the answer, none of them sent twice (RFC 6749 §3.1)."""
    pairs = query_pairs(request)
    if len({name for name, _ in pairs}) < len(pairs):
        raise NotArrivedError("not_ours")
    return dict(pairs)


def _where_there_is_one(request: web.Request) -> tuple[Resources, OidcProvider]:
    resources = request.app[RESOURCES]
    if resources.oidc is None:
        raise Problem(404, "There is no such page.")
    return resources, resources.oidc


def _trouble(request: web.Request, error: ProviderUnavailable) -> web.Response:
    _log.warning("provider_unavailable", reason=str(error))
    return way_on(request, 503, _TROUBLE, error.target, retry_after=error.retry_after)
