"""Composition of the sample site: one aiohttp application, no script, nothing kept but in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from aiohttp import ClientSession, DummyCookieJar, web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from deploy.demo_app import handlers, sample_api
from deploy.demo_app.keys import LATCHKEY, SITE, TEMPLATES, VISITORS, Site
from deploy.demo_app.latchkey_api import LatchkeyApi
from deploy.demo_app.registration import CALLBACK_PATH, Registration
from deploy.demo_app.visitors import Visitors
from latchkey_sdk import Guard
from shared.clock import Clock

HERE: Final = Path(__file__).resolve().parent
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    # Not "no-referrer": browsers would then send forms with "Origin: null".
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Server": "Epic Games",
}


def create_demo(
    api_url: str,
    registration: Registration,
    *,
    origin: str,
    clock: Clock,
    service_key: str | None = None,
) -> web.Application:
    """The site at ``origin``, registered with the Latchkey that answers at ``api_url``.

    With a service key for introspection it has its API once more, protected by the SDK.
    """
    app = web.Application(client_max_size=16 * 1024)
    app[SITE] = Site(
        origin=origin,
        redirect_uri=origin + CALLBACK_PATH,
        latchkey=registration.issuer,
        client_id=registration.client_id,
    )
    app[VISITORS] = Visitors(clock)
    app[TEMPLATES] = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    async def connection(app: web.Application) -> AsyncIterator[None]:
        async with ClientSession(cookie_jar=DummyCookieJar()) as http:
            app[LATCHKEY] = LatchkeyApi(http, api_url, registration.credentials)
            yield

    app.cleanup_ctx.append(connection)
    if service_key is not None:
        add_guarded_api(app, Guard(api_url, service_key))
    app.on_response_prepare.append(_add_headers)
    add_routes(app)
    return app


def add_routes(app: web.Application) -> None:
    """Every address of the site."""
    app.add_routes(
        [
            web.get("/", handlers.home),
            web.get("/link", handlers.link, allow_head=False),
            web.get(CALLBACK_PATH, handlers.callback, allow_head=False),
            web.post("/use", handlers.use_key),
            web.post("/unlink", handlers.unlink),
            *sample_api.routes(sample_api.PATHS, sample_api.by_asking),
            web.get("/demo.css", _stylesheet),
            web.get("/livez", _alive),
        ]
    )


def add_guarded_api(app: web.Application, guard: Guard) -> None:
    """The API behind the SDK, which listens for as long as the site runs."""

    async def listening(_app: web.Application) -> AsyncIterator[None]:
        async with guard:
            yield

    app.cleanup_ctx.append(listening)
    app.add_routes(sample_api.routes(sample_api.GUARDED_PATHS, sample_api.by_guard(guard)))


async def _stylesheet(_request: web.Request) -> web.FileResponse:
    return web.FileResponse(HERE / "static" / "demo.css", headers={"Content-Type": "text/css; charset=utf-8"})


async def _alive(_request: web.Request) -> web.Response:
    return web.Response(text="alive\n")


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
    if request.path.startswith((sample_api.PATHS, sample_api.GUARDED_PATHS)):
        response.headers.update(sample_api.OPEN_TO_PAGES)
