"""The site's own protected API: it asks Latchkey about every key and passes a refusal on as it is."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web

from deploy.demo_app.keys import LATCHKEY
from deploy.demo_app.latchkey_api import LatchkeyUnavailable, Verdict

REALM: Final = 'Bearer realm="Epic Games"'
PATHS: Final = "/api/"
OPEN_TO_PAGES: Final = {
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: "WWW-Authenticate, Retry-After",
}
"""On every answer of the API, refusals too: pages of other sites may use a key, and no cookie counts here."""


def routes() -> list[web.RouteDef]:
    """Every address of the API, each of which also answers a browser that asks first."""
    one = PATHS + r"scores/{number:\d{1,9}}"
    calls = [
        web.get(PATHS + "scores", list_scores),
        web.post(one + "/comment", comment_score),
        web.delete(one, delete_score),
    ]
    return [*calls, *(web.options(call.path, answer_preflight) for call in calls)]


async def list_scores(request: web.Request) -> web.Response:
    """``GET /api/scores``: any live key will do."""
    verdict = await check(request)
    return web.json_response(
        {"player": verdict.username, "scores": [{"song": "Freedom Dive", "points": 9_431}]}
    )


async def comment_score(request: web.Request) -> web.Response:
    """``POST /api/scores/{number}/comment``: needs ``customise_score``."""
    verdict = await check(request, "customise_score")
    return web.json_response(
        {"player": verdict.username, "commented": int(request.match_info["number"])}, status=201
    )


async def delete_score(request: web.Request) -> web.Response:
    """``DELETE /api/scores/{number}``: needs ``delete_score``, which the site never asks for."""
    verdict = await check(request, "delete_score")
    return web.json_response({"player": verdict.username, "deleted": int(request.match_info["number"])})


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
