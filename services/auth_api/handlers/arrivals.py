"""What a browser is shown that comes back from a login elsewhere and is not signed in."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlsplit

import structlog
from aiohttp import web

from services.auth_api.audit import ANONYMOUS, UNKNOWN, RepeatedAct, count_act, own_act
from services.auth_api.authorize.prepare import denied_location
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
from shared.return_to import HOME, sign_target
from shared.web.cookies import set_cookie
from shared.web.edge import peer_of, request_id_of
from shared.web.redirects import see_other

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


async def signed_in_elsewhere(request: web.Request, arrived: Arrived, issuer: str) -> web.Response:
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


def to_login(request: web.Request, begun: Begun | None, cookie: str) -> web.Response:
    """A form of the account's page leads on by a page: no redirect of a form may leave the site, by its own policy."""
    if begun is None:
        return plain_page(request, 400, TOO_LONG, "/account", way_on="Your account")
    detail = "You go on to the login that is to be linked to your account."
    response = plain_page(
        request, 200, detail, begun.location, title="One moment", way_on="Go on", at_once=True
    )
    set_cookie(response, request.app[RESOURCES].settings, cookie, begun.cookie, LIFETIME_SECONDS)
    return response


def taken(request: web.Request) -> web.Response:
    """409: the login that was to be linked is somebody else's."""
    return plain_page(request, 409, TAKEN, "/account", title="That login is taken", way_on="Your account")


def not_arrived(request: web.Request, error: NotArrivedError) -> web.Response:
    """400 with what happened, and a link that begins anew; the log names the cause."""
    _log.info("sign_in_not_arrived", cause=error.problem)
    return way_on(request, 400, _WORDS[error.problem], error.target)


async def refused_elsewhere(request: web.Request, error: RefusedElsewhereError) -> web.Response:
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
