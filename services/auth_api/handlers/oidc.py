"""`/login/oidc…`: the browser's way to the OpenID provider and back, and the provider's own word that somebody left."""

from __future__ import annotations

from typing import Final

import structlog
from aiohttp import web

from services.auth_api.accounts.identities import AccountDisabledError
from services.auth_api.db.repository import IdentityTakenError
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.arrivals import (
    DISABLED,
    LINKED,
    TOO_LONG,
    not_arrived,
    not_signed_in,
    refused_elsewhere,
    signed_in_elsewhere,
    taken,
    to_login,
    way_on,
)
from services.auth_api.handlers.plain_page import plain_page
from services.auth_api.handlers.signed_in import signed_in
from services.auth_api.own_login.arrival import NotArrivedError, RefusedElsewhereError
from services.auth_api.own_login.challenge import LIFETIME_SECONDS
from services.auth_api.own_login.oidc_logout import log_out
from services.auth_api.own_login.oidc_provider import OidcProvider, ProviderUnavailable
from services.auth_api.own_login.oidc_sign_in import NotBelievedError, arrive, begin
from services.auth_api.own_login.oidc_tokens import TokenError
from services.auth_api.resources import Resources
from shared.return_to import HOME, read_target
from shared.web.body import query_pairs, read_form
from shared.web.cookies import (
    cookie_name,
    read_cookie,
    read_session_cookie,
    set_cookie,
)
from shared.web.failures import Problem
from shared.web.redirects import see_other

_NOUN: Final = "login"  # one cookie for every way, so that all of them together stay small
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
    settings = resources.settings
    given = dict(query_pairs(request)).get("continue", "")
    target, cookie = read_target(settings.secrets, given) or HOME, cookie_name(settings, _NOUN)
    try:
        begun = await begin(resources, provider, target, read_cookie(request, cookie))
    except ProviderUnavailable as error:
        return _trouble(request, error)
    if begun is None:
        return plain_page(request, 400, TOO_LONG, "/login?error=again", way_on="Sign in")
    response = see_other(begun.location)
    set_cookie(response, settings, cookie, begun.cookie, LIFETIME_SECONDS)
    return response


async def begin_linking(request: web.Request) -> web.Response:
    """POST ``/login/oidc/link``, from the account's page: on to the login, which then belongs to the account as well."""
    resources, provider = _where_there_is_one(request)
    user = await signed_in(request)
    cookie = cookie_name(resources.settings, _NOUN)
    try:
        begun = await begin(resources, provider, LINKED, read_cookie(request, cookie), user.user_id)
    except ProviderUnavailable as error:
        return _trouble(request, error)
    return to_login(request, begun, cookie)


async def finish_sign_in(request: web.Request) -> web.Response:
    """GET ``/login/oidc/callback``: 303 to where the person was going, signed in; a page with a way on otherwise.

    400 for the state or the issuer, 403 for the token or the person, 503 for a provider in trouble.
    """
    resources, provider = _where_there_is_one(request)
    settings = resources.settings
    refused: tuple[str, str, str | None]
    try:
        arrived = await arrive(
            resources,
            provider,
            _once_each(request),
            cookie=read_cookie(request, cookie_name(settings, _NOUN)),
            session_id=read_session_cookie(request, settings),
        )
    except NotArrivedError as error:
        return not_arrived(request, error)
    except AccountDisabledError:
        refused = "account disabled", DISABLED, None
    except NotBelievedError as error:
        refused = "provider not believed", _NOT_BELIEVED, error.target
    except IdentityTakenError:
        return taken(request)
    except RefusedElsewhereError as error:
        return await refused_elsewhere(request, error)
    except ProviderUnavailable as error:
        return _trouble(request, error)
    else:
        return await signed_in_elsewhere(request, arrived, provider.issuer)
    return await not_signed_in(request, *refused)


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
