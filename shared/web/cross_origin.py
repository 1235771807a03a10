"""What pages of other sites may call, without credentials: one table for all services (CORS, Fetch §3.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import hdrs, web

OPEN: Final = frozenset(
    {
        "/.well-known/oauth-authorization-server",
        "/api/v1/oauth/device_authorization",
        "/api/v1/oauth/par",
        "/api/v1/oauth/revoke",
        "/api/v1/oauth/token",
        "/api/v1/openapi.json",
        "/api/v1/status",
        "/api/v1/users/me",
    }
)
"""The paths, none of which reads a cookie; the edge marks every answer of theirs, also refusals, and no other."""
CROSS_ORIGIN: Final = {
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: "Retry-After, WWW-Authenticate, X-Request-ID",
}
"""On every answer of an open path. The star excludes credentials, so no cookie ever counts here."""


def add_preflights(application: web.Application) -> None:
    """Adds ``OPTIONS`` to the open paths among the routes so far: any header may be sent there.

    ``*`` stands for every header but ``Authorization``, which has to be named (Fetch §4.10).
    """
    methods: dict[str, set[str]] = {}
    for route in application.router.routes():
        if route.resource is not None and route.resource.canonical in OPEN:
            methods.setdefault(route.resource.canonical, set()).add(route.method)
    for path, understood in methods.items():
        application.router.add_options(path, _preflight(", ".join(sorted(understood))))


def _preflight(methods: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(
            status=204,
            headers={
                hdrs.ACCESS_CONTROL_ALLOW_METHODS: methods,
                hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "*, Authorization",
                hdrs.ACCESS_CONTROL_MAX_AGE: "86400",
                hdrs.CACHE_CONTROL: "no-store",
            },
        )

    return answer
