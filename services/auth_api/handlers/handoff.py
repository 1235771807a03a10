"""`/login/site` and `/login/site/callback`: the browser's way to the site's own login and back."""

from __future__ import annotations

from aiohttp import web

from services.auth_api.accounts.identities import SITE
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.arrivals import (
    LINKED,
    arrived,
    led_to_linking,
    led_to_login,
    under_way,
    wanted_target,
)
from services.auth_api.handlers.signed_in import signed_in
from services.auth_api.own_login.handoff import arrive, begin
from services.auth_api.resources import Resources
from shared.web.body import query_pairs
from shared.web.cookies import read_session_cookie
from shared.web.failures import Problem


async def begin_sign_in(request: web.Request) -> web.Response:
    """GET ``/login/site?continue=``: 303 to the site's own login; 404 where the site has none."""
    resources = _where_there_is_one(request)
    return led_to_login(request, await begin(resources, wanted_target(request), under_way(request)))


async def begin_linking(request: web.Request) -> web.Response:
    """POST ``/login/site/link``, from the account's page: on to the login, which then belongs to the account as well."""
    resources = _where_there_is_one(request)
    user = await signed_in(request)
    return led_to_linking(request, await begin(resources, LINKED, under_way(request), user.user_id))


async def finish_sign_in(request: web.Request) -> web.Response:
    """GET ``/login/site/callback``: 303 to where the person was going, signed in; a page with a way on otherwise."""
    resources = _where_there_is_one(request)
    query = dict(query_pairs(request))
    arriving = arrive(
        resources,
        challenge=query.get("login_challenge", ""),
        verifier=query.get("login_verifier", ""),
        cookie=under_way(request),
        session_id=read_session_cookie(request, resources.settings),
    )
    return await arrived(request, arriving, SITE)


def _where_there_is_one(request: web.Request) -> Resources:
    resources = request.app[RESOURCES]
    if resources.settings.login_url is None:
        raise Problem(404, "There is no such page.")
    return resources
