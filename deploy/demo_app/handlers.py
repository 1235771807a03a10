"""The site's pages: link an account, come back with a code, use the key, give it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from deploy.demo_app.keys import LATCHKEY, SITE, TEMPLATES, VISITORS
from deploy.demo_app.latchkey_api import LatchkeyRefused, LatchkeyUnavailable, LinkedKey
from deploy.demo_app.visitors import LinkedAccount, Visitor

COOKIE: Final = "epic_games"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened when the site used a key, step by step."""

    accepted: bool
    lines: tuple[tuple[str, str], ...]
    """What was asked, and what the answer was."""


async def home(request: web.Request) -> web.Response:
    """``GET /``: linked or not."""
    visitor = _visitor(request)
    account = visitor.account if visitor is not None else None
    return _page(request, "linked.html" if account else "welcome.html", account=account, outcome=None)


async def link(request: web.Request) -> web.Response:
    """``GET /link``: off to Latchkey, with a state that only this browser knows."""
    visitors = request.app[VISITORS]
    visitor, visitor_id = _visitor(request), None
    if visitor is None:
        visitor_id, visitor = visitors.welcome()
    state, pending = visitor.begin(visitors.now())
    response = _see_other(request.app[SITE].link(state, pending.context))
    if visitor_id is not None:
        response.set_cookie(COOKIE, visitor_id, httponly=True, samesite="Lax", path="/")
    return response


async def callback(request: web.Request) -> web.Response:
    """``GET /tachi-auth-callback``: the person is back, with a code or with a refusal."""
    query, site, visitor = request.query, request.app[SITE], _visitor(request)
    repeated = len(set(query)) != len(query)
    expected = visitor is not None and visitor.finish(
        query.get("state", ""), query.get("context", ""), request.app[VISITORS].now()
    )
    if visitor is None or not expected or repeated or query.get("iss", site.latchkey) != site.latchkey:
        return _page(request, "stale.html", status=400)
    if query.get("error") == "access_denied":
        return _page(request, "declined.html")
    code = query.get("code")
    if code is None:
        return _page(
            request, "failed.html", status=502, reason=query.get("error_description", "There was no code.")
        )
    try:
        visitor.account = await _link_account(request, code)
    except LatchkeyUnavailable as error:
        return _page(request, "failed.html", status=503, reason=str(error))
    except LatchkeyRefused as error:
        return _page(request, "failed.html", status=502, reason=str(error))
    return _see_other("/")  # so that no code stays in the address bar


async def use_key(request: web.Request) -> web.Response:
    """``POST /use``: what an integrator does all day: a call with the person's key."""
    _require_own_page(request)
    visitor = _visitor(request)
    if visitor is None or visitor.account is None:
        return _see_other("/")
    try:
        outcome = await _use(request, visitor.account.key)
    except LatchkeyUnavailable as error:
        outcome = Outcome(accepted=False, lines=(("Latchkey", str(error)),))
    return _page(request, "linked.html", account=visitor.account, outcome=outcome)


async def unlink(request: web.Request) -> web.Response:
    """``POST /unlink``: gives the key back and forgets it."""
    _require_own_page(request)
    visitor = _visitor(request)
    if visitor is None or visitor.account is None:
        return _see_other("/")
    try:
        await request.app[LATCHKEY].revoke(visitor.account.key.token)
    except (LatchkeyUnavailable, LatchkeyRefused) as error:
        return _page(request, "failed.html", status=503, reason=str(error))
    visitor.account = None
    return _page(request, "unlinked.html")


async def _link_account(request: web.Request, code: str) -> LinkedAccount:
    latchkey = request.app[LATCHKEY]
    key = await latchkey.exchange(code, request.app[SITE].redirect_uri)
    verdict = await latchkey.verify(key.token)
    return LinkedAccount(username=verdict.username or f"person {key.user_id}", key=key)


async def _use(request: web.Request, key: LinkedKey) -> Outcome:
    latchkey = request.app[LATCHKEY]
    verdict = await latchkey.verify(key.token, *key.permissions)
    status = await latchkey.status(key.token)
    verified = f"{verdict.status}, {verdict.username}" if verdict.username else f"{verdict.status}"
    told = ", ".join(status.permissions) if status.accepted else status.description
    return Outcome(
        accepted=verdict.status == web.HTTPOk.status_code and status.accepted,
        lines=(
            (f"GET /api/v1/verify?permission={'&permission='.join(key.permissions)}", verified),
            ("GET /api/v1/status", f"success: {str(status.accepted).lower()}; {told}"),
        ),
    )


def _visitor(request: web.Request) -> Visitor | None:
    return request.app[VISITORS].find(request.cookies.get(COOKIE))


def _require_own_page(request: web.Request) -> None:
    """Cookies know no ports: another site on this machine must not press our buttons."""
    if request.headers.get("Origin") != request.app[SITE].origin:
        raise web.HTTPForbidden(text="This needs the button on our own page.\n")


def _see_other(location: str) -> web.Response:
    return web.Response(status=303, headers={"Location": location})


def _page(request: web.Request, template: str, *, status: int = 200, **values: object) -> web.Response:
    html = request.app[TEMPLATES].get_template(template).render(site=request.app[SITE], **values)
    return web.Response(text=html, status=status, content_type="text/html")
