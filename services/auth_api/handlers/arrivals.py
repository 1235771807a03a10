"""A browser on its way to a login elsewhere and back: what both ways have in common towards HTTP."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import structlog
from aiohttp import web

from services.auth_api.accounts.identities import AccountDisabledError
from services.auth_api.audit import ANONYMOUS, UNKNOWN, RepeatedAct, count_act, own_act
from services.auth_api.authorize.prepare import denied_location
from services.auth_api.db.repository import IdentityTakenError
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.plain_page import plain_page
from services.auth_api.handlers.session import hand_session
from services.auth_api.own_login.arrival import (
    ArrivalProblem,
    Arrived,
    Begun,
    NotArrivedError,
    RefusedElsewhereError,
)
from services.auth_api.own_login.challenge import LIFETIME_SECONDS
from services.auth_api.own_login.oidc_logout import remember_session
from shared.contracts.authorization import Flow, PrepareAuthorization
from shared.web.body import query_pairs
from shared.web.cookies import cookie_name, read_cookie, set_cookie
from shared.web.edge import peer_of, request_id_of
from shared.web.redirects import HOME, read_target, see_other, sign_target

_NOUN: Final = "login"
"""One cookie for every way, so that all of them together stay small."""
LINKED: Final = "/account?done=linked"
TAKEN: Final = "This login belongs to another account here already. Nobody is ever joined with somebody else."
TOO_LONG: Final = (
    "The link is too long to be kept while you sign in. Sign in from the start page, then open it again."
)
DISABLED: Final = "Your account here is closed. Ask the people who run this site."
_FLOWS: Final[dict[str, Flow]] = {"/oauth/authorize": "authorize", "/oauth/request-auth": "request_auth"}
_WORDS: Final[dict[ArrivalProblem, str]] = {
    "not_ours": "This address is not one that this site made for you.",
    "other_browser": "This sign-in was begun in another browser, or it was begun too long ago.",
    "other_issuer": "This answer did not come from the login that you were sent to.",
    "over": "This sign-in took longer than ten minutes.",
    "signed_out": "You are signed out, or signed in as somebody else than when you began to link the login.",
    "used": "This sign-in was used already, and you are signed out since, or somebody else is signed in.",
}

_log = structlog.get_logger("latchkey.own_login")


def wanted_target(request: web.Request) -> str:
    """Where the person goes on afterwards: what a page of ours has signed, else the start page."""
    given = dict(query_pairs(request)).get("continue", "")
    return read_target(request.app[RESOURCES].settings.secrets, given) or HOME


def under_way(request: web.Request) -> str:
    """The browser's cookie of sign-ins under way."""
    return read_cookie(request, cookie_name(request.app[RESOURCES].settings, _NOUN))


def led_to_login(request: web.Request, begun: Begun | None) -> web.Response:
    """303 to the login; 400 where the link is too long to be carried there."""
    if begun is None:
        return plain_page(request, 400, TOO_LONG, "/login?error=again", way_on="Sign in")
    return _keeping(request, see_other(begun.location), begun)


def led_to_linking(request: web.Request, begun: Begun | None) -> web.Response:
    """A form of the account's page leads on by a page: no redirect of a form may leave the site, by its own policy."""
    if begun is None:
        return plain_page(request, 400, TOO_LONG, "/account", way_on="Your account")
    detail = "You go on to the login that is to be linked to your account."
    page = plain_page(request, 200, detail, begun.location, title="One moment", way_on="Go on", at_once=True)
    return _keeping(request, page, begun)


def _keeping(request: web.Request, response: web.Response, begun: Begun) -> web.Response:
    settings = request.app[RESOURCES].settings
    set_cookie(response, settings, cookie_name(settings, _NOUN), begun.cookie, LIFETIME_SECONDS)
    return response


async def arrived(request: web.Request, arriving: Awaitable[Arrived], issuer: str) -> web.Response:
    """303 to where the person was going, signed in; a page with a way on for whatever stands in the way."""
    try:
        found = await arriving
    except NotArrivedError as error:
        return not_arrived(request, error)
    except AccountDisabledError:
        return await not_signed_in(request, "account disabled", DISABLED)
    except IdentityTakenError:
        return plain_page(request, 409, TAKEN, "/account", title="That login is taken", way_on="Your account")
    except RefusedElsewhereError as error:
        return await _refused_elsewhere(request, error)
    return await _signed_in(request, found, issuer)


async def _signed_in(request: web.Request, arrived: Arrived, issuer: str) -> web.Response:
    """303 to where the person was going, with a session of theirs."""
    response = see_other(arrived.target)
    if arrived.account is None:
        return response
    resources = request.app[RESOURCES]
    peer = peer_of(request, resources.settings)
    await count_act(resources, own_act(arrived.account.user_id, "session.started", peer))
    digest = await hand_session(request, response, arrived.account)
    if arrived.provider_session is not None:
        await remember_session(resources, issuer, arrived.provider_session, digest)
    return response


async def not_signed_in(
    request: web.Request, cause: str, detail: str, target: str | None = None
) -> web.Response:
    """403 with what happened, and a link that begins anew and goes on to ``target``; the audit knows the cause."""
    resources = request.app[RESOURCES]
    peer = peer_of(request, resources.settings)
    await count_act(resources, RepeatedAct(ANONYMOUS, "session.refused", UNKNOWN, peer, cause))
    return way_on(request, 403, detail, target, title="You were not signed in")


def not_arrived(request: web.Request, error: NotArrivedError) -> web.Response:
    """400 with what happened, and a link that begins anew; the log names the cause."""
    _log.info("sign_in_not_arrived", cause=error.problem)
    return way_on(request, 400, _WORDS[error.problem], error.target)


async def _refused_elsewhere(request: web.Request, error: RefusedElsewhereError) -> web.Response:
    """The app that waits hears ``access_denied``; where none does, the person reads the words of who refused them."""
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
    return await not_signed_in(request, "refused elsewhere", error.words, error.target)


def way_on(
    request: web.Request,
    status: int,
    detail: str,
    target: str | None,
    *,
    title: str = "That did not work",
    retry_after: int | None = None,
) -> web.Response:
    """Says what happened, with a link that begins anew and then goes on to ``target``."""
    secrets = request.app[RESOURCES].settings.secrets
    onward = "" if target in (None, HOME) else f"&continue={sign_target(secrets, target or HOME)}"
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    address = f"/login?error=again{onward}"
    return plain_page(request, status, detail, address, title=title, way_on="Sign in again", headers=headers)
