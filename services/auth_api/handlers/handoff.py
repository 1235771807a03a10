"""`/login/site` and `/login/site/callback`: the browser's way to the site's own login and back."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from services.auth_api.accounts.identities import AccountDisabledError
from services.auth_api.authorize.prepare import denied_location
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.plain_page import plain_page
from services.auth_api.own_login.challenge import LIFETIME_SECONDS
from services.auth_api.own_login.handoff import (
    ArrivalProblem,
    NotArrivedError,
    RefusedBySiteError,
    arrive,
    begin,
)
from shared.contracts.authorization import Flow, PrepareAuthorization
from shared.return_to import HOME, read_target, sign_target
from shared.web.body import query_pairs
from shared.web.cookies import (
    cookie_name,
    read_cookie,
    read_session_cookie,
    set_cookie,
    set_session_cookie,
)
from shared.web.edge import peer_of, request_id_of
from shared.web.failures import Problem
from shared.web.redirects import see_other

_NOUN: Final = "login"
_TOO_LONG: Final = (
    "The link is too long to be kept while you sign in. Sign in from the start page, then open it again."
)
_FLOWS: Final[dict[str, Flow]] = {"/oauth/authorize": "authorize", "/oauth/request-auth": "request_auth"}
_WORDS: Final[dict[ArrivalProblem, str]] = {
    "not_ours": "This address is not one that this site made for you.",
    "other_browser": "This sign-in was begun in another browser, or it was begun too long ago.",
    "over": "This sign-in took longer than ten minutes.",
    "used": "This sign-in was used already, and you are signed out since, or somebody else is signed in.",
}
_DISABLED: Final = "Your account here is closed. Ask the people who run this site."


async def begin_sign_in(request: web.Request) -> web.Response:
    """GET ``/login/site?continue=``: 303 to the site's own login; 404 where the site has none."""
    resources = request.app[RESOURCES]
    settings = resources.settings
    if settings.login_url is None:
        raise Problem(404, "There is no such page.")
    given = dict(query_pairs(request)).get("continue", "")
    cookie = cookie_name(settings, _NOUN)
    begun = await begin(resources, read_target(settings.secrets, given) or HOME, read_cookie(request, cookie))
    if begun is None:
        return plain_page(request, 400, _TOO_LONG, "/login", way_on="Sign in")
    response = see_other(begun.location)
    set_cookie(response, settings, cookie, begun.cookie, LIFETIME_SECONDS)
    return response


async def finish_sign_in(request: web.Request) -> web.Response:
    """GET ``/login/site/callback``: 303 to where the person was going, signed in; a page with a way on otherwise."""
    resources = request.app[RESOURCES]
    settings = resources.settings
    if settings.login_url is None:
        raise Problem(404, "There is no such page.")
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
        return _page(request, 400, _WORDS[error.problem], error.target)
    except AccountDisabledError:
        return _page(request, 403, _DISABLED, None)
    except RefusedBySiteError as error:
        return await _refused(request, error)
    response = see_other(arrived.target)
    if arrived.session is not None:
        set_session_cookie(response, settings, arrived.session)
    return response


async def _refused(request: web.Request, error: RefusedBySiteError) -> web.Response:
    """The app that waits hears ``access_denied``; where none does, the person reads the site's words."""
    parts = urlsplit(error.target)
    flow = _FLOWS.get(parts.path)
    location = None
    if flow is not None:
        resources = request.app[RESOURCES]
        command = PrepareAuthorization(
            surface=flow,
            query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
            session=None,
            peer=peer_of(request, resources.settings),
            request_id=request_id_of(request),
        )
        location = await denied_location(resources, command, "The site's login refused the person.")
    if location is not None:
        return see_other(location)
    return _page(request, 403, error.words, None, title="You were not signed in")


def _page(
    request: web.Request, status: int, detail: str, target: str | None, *, title: str = "That did not work"
) -> web.Response:
    """Says what happened, with a link that begins anew."""
    secrets = request.app[RESOURCES].settings.secrets
    onward = "" if target in (None, HOME) else f"&continue={sign_target(secrets, target or HOME)}"
    return plain_page(
        request, status, detail, f"/login?error=again{onward}", title=title, way_on="Sign in again"
    )
