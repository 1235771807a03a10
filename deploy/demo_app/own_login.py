"""A sample site with its own users and its own login, "Rhythm Hall": Latchkey keeps none of its people's passwords.

Everything that such a site needs is here: the page that people sign in on, and two requests to Latchkey.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from deploy.demo_app.latchkey_api import LatchkeyUnavailable

HERE: Final = Path(__file__).resolve().parent
LOGIN_PATH: Final = "/login"
NAME: Final = "Rhythm Hall"
COOKIE: Final = "rhythm_hall"
PASSWORD: Final = "rhythm"  # noqa: S105 - the page shows it
MOST_SESSIONS: Final = 10_000
HEADERS: Final = {
    # No form-action: Chromium applies it to every redirect after the form, and those lead to Latchkey and on to an app.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Server": NAME,
}


@dataclass(frozen=True, slots=True)
class Player:
    """Somebody who has an account at the site."""

    external_id: str
    """Who they are to Latchkey, for good: the site's own id of them."""
    username: str
    name: str


PLAYERS: Final[Mapping[str, Player]] = {
    player.username: player
    for player in (
        Player("1001", "zoe", "Zoë Ünal"),
        Player("1002", "max", "Max"),
    )
}


AUTHOR: Final = {"externalID": "1", "username": "epic-games", "displayName": "Epic Games"}
"""Who registers the other sample site; nobody signs in as this one on the page."""


@dataclass(slots=True)
class Hall:
    """The site's state, in memory."""

    origin: str
    latchkey: str
    """Latchkey's public address."""
    service_key: str
    sessions: OrderedDict[str, Player] = field(default_factory=OrderedDict)


class LoginDesk:
    """What the site's server asks of Latchkey, with a service key that has `sign-in`."""

    def __init__(self, http: ClientSession, api_url: str, service_key: str) -> None:
        """``api_url`` is where Latchkey answers."""
        self._http = http
        self._requests = f"{api_url}/api/v1/login-requests/"
        self._headers = {"Authorization": f"Bearer {service_key}"}

    async def ask(self, challenge: str) -> dict[str, Any] | None:
        """What a challenge is about; ``None`` where it is over, used, or no challenge.

        Raises:
            LatchkeyUnavailable: it does not answer.
        """
        status, document = await self._send("GET", challenge, None)
        return document if status == web.HTTPOk.status_code else None

    async def answer(self, challenge: str, said: Mapping[str, str]) -> str | None:
        """Says who it was: the address to which the browser goes; ``None`` where the challenge is over or was answered.

        Raises:
            LatchkeyUnavailable: it does not answer.
        """
        status, document = await self._send("PUT", challenge, said)
        return str(document["redirectTo"]) if status == web.HTTPOk.status_code else None

    async def knows_us(self) -> bool:
        """Whether the service key is live and may say who somebody is."""
        status, _ = await self._send("GET", "none", None)
        return status == web.HTTPNotFound.status_code

    async def _send(
        self, method: str, challenge: str, said: Mapping[str, str] | None
    ) -> tuple[int, dict[str, Any]]:
        try:
            address = self._requests + challenge
            async with self._http.request(method, address, json=said, headers=self._headers) as answer:
                document = await answer.json(content_type=None)
        except (ClientError, TimeoutError, OSError, ValueError) as error:
            raise LatchkeyUnavailable(f"Latchkey does not answer: {type(error).__name__}") from error
        if answer.status >= 500:  # noqa: PLR2004
            raise LatchkeyUnavailable(f"Latchkey cannot answer just now ({answer.status}).")
        return answer.status, document


HALL: web.AppKey[Hall] = web.AppKey("hall", Hall)
DESK: web.AppKey[LoginDesk] = web.AppKey("desk", LoginDesk)
_TEMPLATES: web.AppKey[Environment] = web.AppKey("templates", Environment)


def create_hall(api_url: str, latchkey: str, service_key: str, *, origin: str) -> web.Application:
    """The site at ``origin``; its Latchkey answers at ``api_url`` and is ``latchkey`` to browsers."""
    app = web.Application(client_max_size=16 * 1024)
    app[HALL] = Hall(origin, latchkey, service_key)
    app[_TEMPLATES] = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined
    )

    async def connection(app: web.Application) -> AsyncIterator[None]:
        async with ClientSession(cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=10)) as http:
            app[DESK] = LoginDesk(http, api_url, service_key)
            yield

    app.cleanup_ctx.append(connection)
    app.on_response_prepare.append(_add_headers)
    app.add_routes(
        [
            web.get("/", home),
            web.get(LOGIN_PATH, show_login, allow_head=False),
            web.post(LOGIN_PATH, log_in),
            web.post("/logout", log_out),
            web.get("/demo.css", _stylesheet),
        ]
    )
    return app


async def home(request: web.Request) -> web.Response:
    """``GET /``: who is signed in at the site."""
    return _page(request, "hall.html", player=_player(request))


async def show_login(request: web.Request) -> web.Response:
    """``GET /login?login_challenge=``: the site's own login; whoever is signed in already goes on at once."""
    challenge = request.query.get("login_challenge", "")
    if not challenge:
        return _page(request, "hall_login.html", challenge="", app_name=None, wrong=False)
    about = await request.app[DESK].ask(challenge)
    if about is None:
        return _page(request, "hall_over.html", status=400)
    player = _player(request)
    if player is not None:
        return await _go_on(request, challenge, _introduction(player))
    app_name = about.get("client", {}).get("name")
    return _page(request, "hall_login.html", challenge=challenge, app_name=app_name, wrong=False)


async def log_in(request: web.Request) -> web.Response:
    """``POST /login``: the site checks its own passwords, then tells Latchkey who it was, or that nobody comes in."""
    _require_own_page(request)
    form = await request.post()
    challenge = str(form.get("login_challenge", ""))
    if challenge and "cancel" in form:
        return await _go_on(request, challenge, {"error": "You turned back at the login of Rhythm Hall."})
    player = PLAYERS.get(str(form.get("username", "")).strip().lower())
    if player is None or not hmac.compare_digest(str(form.get("password", "")).encode(), PASSWORD.encode()):
        shown = {"challenge": challenge, "app_name": None, "wrong": True}
        return _page(request, "hall_login.html", status=401, **shown)
    response = await _go_on(request, challenge, _introduction(player)) if challenge else _see_other("/")
    session, sessions = secrets.token_urlsafe(32), request.app[HALL].sessions
    sessions[session] = player
    while len(sessions) > MOST_SESSIONS:
        sessions.popitem(last=False)
    response.set_cookie(COOKIE, session, httponly=True, samesite="Lax", path="/")
    return response


async def log_out(request: web.Request) -> web.Response:
    """``POST /logout``: signed out of the site."""
    _require_own_page(request)
    request.app[HALL].sessions.pop(request.cookies.get(COOKIE, ""), None)
    response = _see_other("/")
    response.del_cookie(COOKIE, path="/")
    return response


async def _go_on(request: web.Request, challenge: str, said: Mapping[str, str]) -> web.Response:
    address = await request.app[DESK].answer(challenge, said)
    return _page(request, "hall_over.html", status=400) if address is None else _see_other(address)


def _introduction(player: Player) -> dict[str, str]:
    """What Latchkey is told of somebody; only the id tells who it is."""
    return {"externalID": player.external_id, "username": player.username, "displayName": player.name}


def _player(request: web.Request) -> Player | None:
    return request.app[HALL].sessions.get(request.cookies.get(COOKIE, ""))


def _require_own_page(request: web.Request) -> None:
    if request.headers.get("Origin") != request.app[HALL].origin:
        raise web.HTTPForbidden(text="This needs the button on our own page.\n")


def _see_other(location: str) -> web.Response:
    return web.Response(status=303, headers={"Location": location})


def _page(request: web.Request, template: str, *, status: int = 200, **values: object) -> web.Response:
    shown = {"hall": request.app[HALL], "players": tuple(PLAYERS.values()), "password": PASSWORD, **values}
    html = request.app[_TEMPLATES].get_template(template).render(shown)
    return web.Response(text=html, status=status, content_type="text/html")


async def _stylesheet(_request: web.Request) -> web.FileResponse:
    return web.FileResponse(HERE / "static" / "demo.css", headers={"Content-Type": "text/css; charset=utf-8"})


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
