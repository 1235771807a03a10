"""Each adapter in front of the real framework: what is refused, how, and what the application learns of a good key."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import fastapi
import httpx
import pytest
from aiohttp import ClientSession, web
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from deploy.embedded.ports import free_port
from latchkey_sdk import Guard, Key
from latchkey_sdk.aiohttp import middleware
from latchkey_sdk.asgi import LatchkeyMiddleware
from latchkey_sdk.fastapi import require
from shared.web.server import serving
from tests.sdk.python.latchkey import SERVICE, PlayedLatchkey, mint

PERMISSION = "customise_score"


@dataclass(frozen=True, slots=True)
class Said:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def key(self) -> Any:
        """What the application says of the key."""
        return json.loads(self.body)


Call = Callable[..., Any]


@dataclass(slots=True)
class Api:
    """An application that answers with the key that it was given."""

    guard: Guard
    call: Call
    reached: list[str] = field(default_factory=list)


@asynccontextmanager
async def asgi_calls(app: Any) -> AsyncIterator[Call]:
    """Requests to an ASGI application."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as http:

        async def call(*authorization: str, path: str = "/") -> Said:
            headers = [(b"Authorization", each.encode()) for each in authorization]
            answer = await http.get(path, headers=headers)
            return Said(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.text)

        yield call


def told(key: Key) -> dict[str, Any]:
    """What the applications answer."""
    return {"key": key.key_id, "user": key.user_id, "may": sorted(key.permissions)}


@asynccontextmanager
async def starlette_api(guard: Guard) -> AsyncIterator[Call]:
    """Starlette behind the ASGI middleware."""

    async def show(request: Request) -> JSONResponse:
        return JSONResponse(told(request.scope["latchkey"]))

    app = LatchkeyMiddleware(Starlette(routes=[Route("/", show)]), guard, [PERMISSION])
    async with asgi_calls(app) as call:
        yield call


def fastapi_app(guard: Guard) -> fastapi.FastAPI:
    """With one route that needs the permission, and one that is open."""
    app = fastapi.FastAPI()
    needed = fastapi.Depends(require(guard, PERMISSION))

    @app.get("/")
    async def show(key: Key = needed) -> dict[str, Any]:
        return told(key)

    @app.get("/open")
    async def hello() -> str:
        return "hello"

    return app


@asynccontextmanager
async def fastapi_api(guard: Guard) -> AsyncIterator[Call]:
    """FastAPI with the dependency."""
    async with asgi_calls(fastapi_app(guard)) as call:
        yield call


@asynccontextmanager
async def aiohttp_api(guard: Guard) -> AsyncIterator[Call]:
    """The server of aiohttp with the middleware."""

    async def show(request: web.Request) -> web.Response:
        return web.json_response(told(request["latchkey"]))

    app = web.Application(middlewares=[middleware(guard, PERMISSION)])
    app.router.add_get("/", show)
    port = free_port()
    async with serving(app, "127.0.0.1", port, drain_seconds=0), ClientSession() as http:

        async def call(*authorization: str, path: str = "/") -> Said:
            headers = [("Authorization", each) for each in authorization]
            async with http.get(f"http://127.0.0.1:{port}{path}", headers=headers) as answer:
                lower = {name.lower(): value for name, value in answer.headers.items()}
                return Said(answer.status, lower, await answer.text())

        yield call


APIS = {"asgi": starlette_api, "fastapi": fastapi_api, "aiohttp": aiohttp_api}


@pytest.fixture(params=APIS)
async def call(request: pytest.FixtureRequest, guard: Guard) -> AsyncIterator[Call]:
    """Calls an API that is protected by each adapter."""
    make: Callable[[Guard], AbstractAsyncContextManager[Call]] = APIS[request.param]
    async with make(guard) as call:
        yield call


async def test_a_good_key_comes_through(latchkey: PlayedLatchkey, call: Call) -> None:
    """The application learns whose it is."""
    key = latchkey.make(PERMISSION, "delete_score")
    for scheme in ("Bearer", "bearer"):
        said = await call(f"{scheme} {key.token}")
        assert (said.status, said.key) == (
            200,
            {"key": key.key_id, "user": 2, "may": [PERMISSION, "delete_score"]},
        )


async def test_without_a_key_no_error_is_named(call: Call) -> None:
    """RFC 6750 §3.1: an empty header and another scheme are no key either."""
    for authorization in ((), ("",), ("Basic eDp5",), ("Bearer",)):
        said = await call(*authorization)
        assert said.status == 401
        assert said.headers["www-authenticate"] == 'Bearer realm="latchkey"'


async def test_what_is_no_live_key_is_refused_alike(latchkey: PlayedLatchkey, call: Call) -> None:
    """Wrong, unknown, revoked, paused; two of them, even the same twice."""
    key = latchkey.make(PERMISSION)
    bodies = set()
    for authorization in (
        ("Bearer x",),
        (f"Bearer {mint().token}",),
        (f"Bearer {key.token}", f"Bearer {key.token}"),
        (f"Bearer {key.token}, Bearer {key.token}",),
        (f"Bearer {key.token}é",),
    ):
        said = await call(*authorization)
        assert said.status == 401
        assert said.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        bodies.add(said.body)
    assert len(bodies) == 1


async def test_a_key_without_the_permission_is_refused(latchkey: PlayedLatchkey, call: Call) -> None:
    """403, with what would do."""
    said = await call(f"Bearer {latchkey.make('delete_score').token}")
    assert said.status == 403
    expected = f'Bearer error="insufficient_scope", scope="{PERMISSION}"'
    assert said.headers["www-authenticate"] == expected


async def test_what_cannot_be_known_is_503(latchkey: PlayedLatchkey, call: Call) -> None:
    """With the time to try again, and without a challenge."""
    latchkey.answer = lambda: web.Response(status=503, headers={"Retry-After": "4"})
    said = await call(f"Bearer {latchkey.make(PERMISSION).token}")
    assert said.status == 503
    assert said.headers["retry-after"] == "4"
    assert "www-authenticate" not in said.headers


async def test_openapi_says_that_a_key_is_needed(guard: Guard) -> None:
    """On the routes that need one, and on no other."""
    document = fastapi_app(guard).openapi()
    assert document["components"]["securitySchemes"]["latchkey"]["scheme"] == "bearer"
    assert document["paths"]["/"]["get"]["security"] == [{"latchkey": []}]
    assert "security" not in document["paths"]["/open"]["get"]


async def test_lifespan_passes_and_is_where_the_guard_begins(latchkey: PlayedLatchkey) -> None:
    """Nothing else does without a key."""
    guard = Guard(latchkey.url, SERVICE)
    seen: list[str] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["type"])

    async def nothing(*_message: Any) -> None:
        """Never called."""

    await LatchkeyMiddleware(app, guard)({"type": "lifespan"}, nothing, nothing)  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        await LatchkeyMiddleware(app, guard)({"type": "new"}, nothing, nothing)  # type: ignore[arg-type]
    assert seen == ["lifespan"]


@pytest.mark.parametrize("denial", [True, False], ids=["with an answer", "without"])
async def test_a_websocket_is_refused_before_it_opens(
    latchkey: PlayedLatchkey, guard: Guard, denial: bool
) -> None:
    """By an answer where the server can send one, else by closing, which is 403."""

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_json(told(socket.scope["latchkey"]))
        await socket.close()

    app = LatchkeyMiddleware(Starlette(routes=[WebSocketRoute("/", echo)]), guard, PERMISSION)

    async def open_socket(*authorization: str) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "websocket",
            "path": "/",
            "headers": [(b"Authorization", each.encode()) for each in authorization],
            "latchkey": "forged",
            **({"extensions": {"websocket.http.response": {}}} if denial else {}),
        }
        await app(scope, receive, send)
        return sent

    key = latchkey.make(PERMISSION)
    accepted = await open_socket(f"Bearer {key.token}")
    assert [each["type"] for each in accepted] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert json.loads(accepted[1]["text"])["key"] == key.key_id
    refused = await open_socket()
    if denial:
        assert refused[0]["type"] == "websocket.http.response.start"
        assert refused[0]["status"] == 401
        assert (b"www-authenticate", b'Bearer realm="latchkey"') in refused[0]["headers"]
        assert refused[1]["type"] == "websocket.http.response.body"
    else:
        assert [each["type"] for each in refused] == ["websocket.close"]
        assert refused[0]["code"] == 1008
