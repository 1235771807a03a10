"""Any ASGI application behind a guard: ``app = LatchkeyMiddleware(app, guard, permissions=["customise_score"])``."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from latchkey_sdk._guard import Guard
from latchkey_sdk._header import bearer_key
from latchkey_sdk._refused import Refused

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class LatchkeyMiddleware:
    """Lets through what carries a live key with the permissions, and puts its ``Key`` into ``scope["latchkey"]``.

    A WebSocket is checked when it is opened, and stays open when the key is revoked later. ``lifespan`` passes: that is
    where the application enters the guard. A browser's preflight carries no key: put CORS in front of this.
    """

    def __init__(self, app: App, guard: Guard, permissions: Iterable[str] = ()) -> None:
        """``permissions``: what every request needs; one name may stand alone."""
        self._app = app
        self._guard = guard
        self._permissions = (permissions,) if isinstance(permissions, str) else tuple(permissions)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers for the application, or passes on to it."""
        if scope["type"] != "lifespan":
            try:
                key = await self._guard.check(bearer_key(_authorization(scope)), *self._permissions)
            except Refused as refused:
                await (_close if scope["type"] == "websocket" else _answer)(refused, scope, receive, send)
                return
            scope = {**scope, "latchkey": key}
        await self._app(scope, receive, send)


def _authorization(scope: Scope) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"authorization"]


async def _answer(refused: Refused, _scope: Scope, _receive: Receive, send: Send) -> None:
    await _send_response(refused, send, "http.response")


async def _close(refused: Refused, scope: Scope, receive: Receive, send: Send) -> None:
    """Before the handshake is over a server answers 403 by itself; one that can say more says it."""
    await receive()
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await _send_response(refused, send, "websocket.http.response")
    else:
        code = 1013 if refused.retry_after is not None else 1008
        await send({"type": "websocket.close", "code": code, "reason": str(refused)})


async def _send_response(refused: Refused, send: Send, kind: str) -> None:
    body = json.dumps({"title": str(refused), "status": refused.status}).encode()
    headers = {
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        **refused.headers,
    }
    raw = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
    await send({"type": f"{kind}.start", "status": refused.status, "headers": raw})
    await send({"type": f"{kind}.body", "body": body})
