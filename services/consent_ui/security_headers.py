"""The headers that keep a page from being framed, scripted, cached or posted elsewhere."""

from __future__ import annotations

from typing import Final

from aiohttp import web

NO_STORE: Final = "no-store"


def content_security_policy(*, forms_stay_here: bool = True) -> str:
    """The policy of every page; of the consent page, whose form leads to the app, without ``form-action``.

    Browsers apply ``form-action`` to each redirect that follows a form, also to the app's own further ones, which
    cannot be listed: the button would seem dead while the code is already minted.
    """
    forms = "form-action 'self'; " if forms_stay_here else ""
    return (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; "
        f"{forms}base-uri 'none'; frame-ancestors 'none'"
    )


_EVERYWHERE: Final = {
    "Content-Security-Policy": content_security_policy(),
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": NO_STORE,
}


async def add_security_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Completes every answer of the service, also redirects and errors; what a handler set stays."""
    for name, value in _EVERYWHERE.items():
        response.headers.setdefault(name, value)
