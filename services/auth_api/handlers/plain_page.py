"""The few pages that auth_api shows itself: a sentence, and a way on. The pages of the site are consent_ui's."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Final

from aiohttp import web

from shared.web.edge import request_id_of

_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
{refresh}</head>
<body><h1>{title}</h1><p>{detail}</p><p><a href="{target}">{way_on}</a></p><p>Request {request_id}</p></body></html>
"""


def plain_page(
    request: web.Request,
    status: int,
    detail: str,
    target: str,
    *,
    title: str = "That did not work",
    way_on: str = "Go back and try again",
    at_once: bool = False,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """A page with a link to ``target``; ``at_once`` follows it by itself. Every text is escaped."""
    address = escape(target)
    text = _PAGE.format(
        title=escape(title),
        refresh=f'<meta http-equiv="refresh" content="0; url={address}">' if at_once else "",
        detail=escape(detail),
        target=address,
        way_on=escape(way_on),
        request_id=escape(request_id_of(request)),
    )
    return web.Response(
        text=text, status=status, headers={**(headers or {}), **_HEADERS}, content_type="text/html"
    )
