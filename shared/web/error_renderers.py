"""The shapes in which a failure is reported: problem documents, and the errors of OAuth."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import orjson
from aiohttp import web

from shared.seed_envelope import failed
from shared.web.failures import Failure

ErrorRenderer = Callable[[web.Request, Failure], web.StreamResponse]
"""Renders a failure in the shape that the callers of a path expect."""


def render_problem(_request: web.Request, failure: Failure) -> web.Response:
    """RFC 9457 ``application/problem+json``; an OAuth code, where there is one, as extension member ``error``."""
    return _problem(failure, {})


def render_seed_error(_request: web.Request, failure: Failure) -> web.Response:
    """A problem document that also says what integrators of the seed system look for: whether and why not."""
    return _problem(failure, failed(failure.detail))


def _problem(failure: Failure, members: Mapping[str, object]) -> web.Response:
    """A problem document with extension members (RFC 9457 §3.2)."""
    body: dict[str, object] = {
        **members,
        "type": "about:blank",
        "title": failure.title,
        "status": failure.status,
        "detail": failure.detail,
        "errors": [{"field": error.field, "detail": error.detail} for error in failure.errors],
    }
    if failure.code:
        body |= {"error": failure.code, "error_description": description(failure.detail)}
    return web.Response(
        body=orjson.dumps(body),
        status=failure.status,
        headers={"Cache-Control": "no-store", **failure.headers},
        content_type="application/problem+json",
    )


_DEFAULT_CODES: Final = {401: "invalid_client", 403: "access_denied", 500: "server_error"}


def oauth_error_body(failure: Failure) -> dict[str, object]:
    """The members of an OAuth error (RFC 6749 §5.2)."""
    fallback = "temporarily_unavailable" if failure.status in (429, 503) else "invalid_request"
    code = failure.code or _DEFAULT_CODES.get(failure.status, fallback)
    return {"error": code, "error_description": description(failure.detail)}


def render_oauth_error(_request: web.Request, failure: Failure) -> web.Response:
    """RFC 6749 §5.2 JSON, never cached."""
    return web.Response(
        body=orjson.dumps(oauth_error_body(failure)),
        status=failure.status,
        headers={"Cache-Control": "no-store", "Pragma": "no-cache", **failure.headers},
        content_type="application/json",
    )


def description(text: str) -> str:
    """``text`` in the character set of ``error_description``: %x20-21 / %x23-5B / %x5D-7E (RFC 6749 §5.2)."""
    return re.sub(r"[^\x20\x21\x23-\x5b\x5d-\x7e]", "?", text.replace('"', "'").replace("\\", "/"))
