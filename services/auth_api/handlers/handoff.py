"""`/login/site` and `/login/site/callback`: the browser's way to the site's own login and back."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from services.auth_api.accounts.identities import SITE, AccountDisabledError
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
)
from services.auth_api.handlers.plain_page import plain_page
from services.auth_api.handlers.signed_in import signed_in
from services.auth_api.own_login.arrival import NotArrivedError, RefusedElsewhereError
from services.auth_api.own_login.challenge import LIFETIME_SECONDS
from services.auth_api.own_login.handoff import arrive, begin
from services.auth_api.resources import Resources
from shared.return_to import HOME, read_target
from shared.web.body import query_pairs
from shared.web.cookies import (
    cookie_name,
    read_cookie,
    read_session_cookie,
    set_cookie,
)
from shared.web.failures import Problem
from shared.web.redirects import see_other

_NOUN: Final = "login"


async def begin_sign_in(request: web.Request) -> web.Response:
    """GET ``/login/site?continue=``: 303 to the site's own login; 404 where the site has none."""
    resources = _where_there_is_one(request)
    settings = resources.settings
    given = dict(query_pairs(request)).get("continue", "")
    cookie = cookie_name(settings, _NOUN)
    begun = await begin(resources, read_target(settings.secrets, given) or HOME, read_cookie(request, cookie))
    if begun is None:
        return plain_page(request, 400, TOO_LONG, "/login", way_on="Sign in")
    response = see_other(begun.location)
    set_cookie(response, settings, cookie, begun.cookie, LIFETIME_SECONDS)
    return response


async def begin_linking(request: web.Request) -> web.Response:
    """POST ``/login/site/link``, from the account's page: on to the login, which then belongs to the account as well."""
    resources = _where_there_is_one(request)
    user = await signed_in(request)
    cookie = cookie_name(resources.settings, _NOUN)
    begun = await begin(resources, LINKED, read_cookie(request, cookie), user.user_id)
    return to_login(request, begun, cookie)


async def finish_sign_in(request: web.Request) -> web.Response:
    """GET ``/login/site/callback``: 303 to where the person was going, signed in; a page with a way on otherwise."""
    resources = _where_there_is_one(request)
    settings = resources.settings
    query = dict(query_pairs(request))
    try:
        arrived = await arrive(
            resources,
            challenge=query.get("login_challenge", ""),
            verifier=query.get("login_verifier", ""),
            cookie=read_cookie(request, cookie_name(settings, _NOUN)),
            session_id=read_session_cookie(request, settings),
        )
    except NotArrivedError as error:
        return not_arrived(request, error)
    except AccountDisabledError:
        return await not_signed_in(request, "account disabled", DISABLED)
    except IdentityTakenError:
        return taken(request)
    except RefusedElsewhereError as error:
        return await refused_elsewhere(request, error)
    return await signed_in_elsewhere(request, arrived, SITE)


def _where_there_is_one(request: web.Request) -> Resources:
    resources = request.app[RESOURCES]
    if resources.settings.login_url is None:
        raise Problem(404, "There is no such page.")
    return resources
