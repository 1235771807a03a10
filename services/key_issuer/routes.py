"""Every public route of key_issuer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web

VERIFY: Final = "/api/v1/verify"
STATUS: Final = "/api/v1/status"
INTROSPECT: Final = "/api/v1/oauth/introspect"
REPORT_LEAK: Final = "/api/v1/keys/report-leak"

CHECK_METHODS: Final = (
    hdrs.METH_GET,
    hdrs.METH_HEAD,
    hdrs.METH_POST,
    hdrs.METH_PUT,
    hdrs.METH_PATCH,
    hdrs.METH_DELETE,
    hdrs.METH_OPTIONS,
)
"""Envoy's ``ext_authz`` asks with the method of the request that it protects; the answer is the same for all."""

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Handlers:
    """What answers each route."""

    verify: Handle
    status: Handle
    introspect: Handle
    report_leak: Handle


def add_routes(router: web.UrlDispatcher, handlers: Handlers) -> None:
    """The route table."""
    for method in CHECK_METHODS:
        router.add_route(method, VERIFY, handlers.verify)
    router.add_get(STATUS, handlers.status)
    router.add_post(STATUS, handlers.status)
    router.add_post(INTROSPECT, handlers.introspect)
    router.add_post(REPORT_LEAK, handlers.report_leak)
