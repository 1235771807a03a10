"""The whole HTTP surface of key_issuer on one screen: path, method, handler, and the shape of its errors."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web

from services.key_issuer.handlers import introspect, report_leak, revocations, status, users_me, verify
from shared.web.cross_origin import add_preflights
from shared.web.error_renderers import ErrorRenderer, render_oauth_error, render_seed_error

VERIFY: Final = "/api/v1/verify"
STATUS: Final = "/api/v1/status"
USERS_ME: Final = "/api/v1/users/me"
INTROSPECT: Final = "/api/v1/oauth/introspect"
REPORT_LEAK: Final = "/api/v1/keys/report-leak"
REVOCATIONS: Final = "/api/v1/revocations"

CHECK_METHODS: Final = (
    hdrs.METH_GET,
    hdrs.METH_POST,
    hdrs.METH_PUT,
    hdrs.METH_PATCH,
    hdrs.METH_DELETE,
    hdrs.METH_OPTIONS,
)
"""Envoy's ``ext_authz`` asks with the method of the request that it protects; the answer is the same for all (and for HEAD)."""
ERROR_RENDERERS: Final[tuple[tuple[str, ErrorRenderer], ...]] = (
    (INTROSPECT, render_oauth_error),
    (STATUS, render_seed_error),
    (USERS_ME, render_seed_error),
)
"""Path prefixes whose errors are not plain RFC 9457 problems."""
HOT: Final = frozenset({VERIFY, INTROSPECT})
"""Counted, but not logged one by one."""
STREAMS: Final = frozenset({REVOCATIONS})
"""Answers without an end."""


def add_routes(application: web.Application) -> None:
    """Adds every route. A GET answers HEAD too, but for a stream, and changes nothing; what is open to other sites, OPTIONS."""
    application.add_routes(
        [
            *(web.route(method, VERIFY, verify.verify) for method in CHECK_METHODS),
            web.get(STATUS, status.status),
            web.post(STATUS, status.status),
            web.get(USERS_ME, users_me.users_me),
            web.post(INTROSPECT, introspect.introspect),
            web.post(REPORT_LEAK, report_leak.report_leak),
            web.get(REVOCATIONS, revocations.revocations, allow_head=False),
        ]
    )
    add_preflights(application)
