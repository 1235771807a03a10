"""The few pages that auth_api shows itself: a sentence, and a way on. The pages of the site are consent_ui's."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from typing import Final

from aiohttp import web

from services.auth_api.handlers.application import RESOURCES
from shared.web.edge import request_id_of

_STYLE: Final = """
:root { color-scheme: light dark; --ground: #f6f5f1; --card: #fff; --ink: #18201d; --soft: #55605b; --line: #d8d9d2;
  --accent: #0f6a5b; --accent-ink: #fff; }
@media (prefers-color-scheme: dark) { :root { --ground: #111513; --card: #1a201d; --ink: #e9eeeb; --soft: #a7b3ad;
  --line: #323b37; --accent: #74d3be; --accent-ink: #06231d; } }
* { box-sizing: border-box; }
html { font: 100%/1.55 system-ui, sans-serif; text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1rem; max-width: 36rem; background: var(--ground); color: var(--ink);
  overflow-wrap: anywhere; }
main { margin: 1.5rem 0; padding: 1.25rem; background: var(--card); border: 1px solid var(--line); border-radius: 14px; }
h1 { margin: 0; font-size: 1.6rem; line-height: 1.25; }
a { color: var(--accent); }
.way { display: inline-flex; align-items: center; min-height: 44px; padding: .5rem 1.25rem; border-radius: 10px;
  background: var(--accent); color: var(--accent-ink); font-weight: 600; text-decoration: none; }
.home { display: inline-flex; align-items: center; min-height: 44px; color: inherit; font-weight: 650;
  text-decoration: none; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; }
.soft { color: var(--soft); font-size: .875rem; }
"""
"""In the page itself, by its hash: this service serves no files."""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · {site}</title><meta name="robots" content="noindex">
<style>{style}</style>
{refresh}</head>
<body><header><a class="home" href="/">{site}</a></header>
<main><h1>{title}</h1><p>{detail}</p><p><a class="way" href="{target}">{way_on}</a></p>
<p class="soft">Request {request_id}</p></main></body></html>
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
        site=escape(request.app[RESOURCES].settings.site_name),
        style=_STYLE,
        refresh=f'<meta http-equiv="refresh" content="0; url={address}">' if at_once else "",
        detail=escape(detail),
        target=address,
        way_on=escape(way_on),
        request_id=escape(request_id_of(request)),
    )
    return web.Response(
        text=text, status=status, headers={**(headers or {}), **_HEADERS}, content_type="text/html"
    )
