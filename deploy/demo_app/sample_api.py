"""The site's own API, protected in two ways: as a reverse proxy does it, and by the SDK.

Under ``/api/`` it asks Latchkey about every key, as forward auth of a proxy in front of it would, and passes a refusal on
as it is. Under ``/guarded/api/`` the same calls are protected by ``latchkey_sdk``, which remembers keys and hears at once
when one is taken back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import hdrs, web

from deploy.demo_app.keys import LATCHKEY
from deploy.demo_app.latchkey_api import LatchkeyUnavailable, Verdict
from latchkey_sdk import Guard
from latchkey_sdk.aiohttp import middleware

REALM: Final = 'Bearer realm="Epic Games"'
PATHS: Final = "/api/"
GUARDED_PATHS: Final = "/guarded/api/"
OPEN_TO_PAGES: Final = {
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: "WWW-Authenticate, Retry-After",
}
"""On every answer of the API, refusals too: pages of other sites may use a key, and no cookie counts here."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Call = Callable[[web.Request, str], web.Response]
"""A call of the API: takes the request and the name of the person whose key it carries."""
Protect = Callable[..., Handler]
"""Puts a call behind a check of the key; takes the call and the permissions that it needs."""


def routes(base: str, protect: Protect) -> list[web.RouteDef]:
    """Every address of the API below ``base``, each of which also answers a browser that asks first."""
    one = base + r"scores/{number:\d{1,9}}"
    calls = [
        web.get(base + "scores", protect(list_scores)),
        web.post(one + "/comment", protect(comment_score, "customise_score")),
        web.delete(one, protect(delete_score, "delete_score")),
    ]
    return [*calls, *(web.options(call.path, answer_preflight) for call in calls)]


def list_scores(_request: web.Request, player: str) -> web.Response:
    """``GET /api/scores``: any live key will do."""
    return web.json_response({"player": player, "scores": [{"song": "Freedom Dive", "points": 9_431}]})


def comment_score(request: web.Request, player: str) -> web.Response:
    """``POST /api/scores/{number}/comment``: needs ``customise_score``."""
    return web.json_response({"player": player, "commented": int(request.match_info["number"])}, status=201)


def delete_score(request: web.Request, player: str) -> web.Response:
    """``DELETE /api/scores/{number}``: needs ``delete_score``, which the site never asks for."""
    return web.json_response({"player": player, "deleted": int(request.match_info["number"])})


def by_asking(call: Call, *permissions: str) -> Handler:
    """Asks Latchkey with every request."""

    async def answer(request: web.Request) -> web.StreamResponse:
        verdict = await check(request, *permissions)
        return call(request, verdict.username)

    return answer


def by_guard(guard: Guard) -> Protect:
    """Lets the SDK decide."""

    def protect(call: Call, *permissions: str) -> Handler:
        check_key = middleware(guard, *permissions)

        async def answer(request: web.Request) -> web.StreamResponse:
            return call(request, request["latchkey"].username)

        async def guarded(request: web.Request) -> web.StreamResponse:
            return await check_key(request, answer)

        return guarded

    return protect


async def answer_preflight(request: web.Request) -> web.Response:
    """``OPTIONS`` of the API: a browser asks whether a page of another site may send a key (a preflight, Fetch §4.8).

    The question carries no key. Whatever else comes with that method needs one, as the examples in docs/proxies have it.
    """
    asks_first = request.headers.get(hdrs.ORIGIN) and request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
    if not asks_first:
        await check(request)
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, DELETE",
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, Content-Type",
            hdrs.ACCESS_CONTROL_MAX_AGE: "600",
        },
    )


async def check(request: web.Request, *permissions: str) -> Verdict:
    """Whose key the request carries.

    Raises:
        web.HTTPUnauthorized, web.HTTPForbidden, web.HTTPServiceUnavailable: what Latchkey says.
    """
    token = bearer_token(request)
    if token is None:
        raise web.HTTPUnauthorized(headers={"WWW-Authenticate": REALM}, text="A key is needed.\n")
    try:
        verdict = await request.app[LATCHKEY].verify(token, *permissions)
    except LatchkeyUnavailable:
        raise web.HTTPServiceUnavailable(
            headers={"Retry-After": "1"}, text="Try again in a moment.\n"
        ) from None
    if verdict.status == web.HTTPForbidden.status_code:
        missing = f'{REALM}, error="insufficient_scope", scope="{" ".join(permissions)}"'
        raise web.HTTPForbidden(headers={"WWW-Authenticate": missing}, text="The key may not do that.\n")
    if verdict.status != web.HTTPOk.status_code:
        invalid = f'{REALM}, error="invalid_token"'
        raise web.HTTPUnauthorized(headers={"WWW-Authenticate": invalid}, text="The key is not good.\n")
    return verdict


def bearer_token(request: web.Request) -> str | None:
    """The key of the one ``Authorization: Bearer`` header, if there is one (RFC 6750 §2.1)."""
    sent = request.headers.getall("Authorization", [])
    scheme, _, token = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
    return token.strip() or None if scheme.lower() == "bearer" else None
