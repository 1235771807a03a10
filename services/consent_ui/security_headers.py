"""The headers that keep a page from being framed, scripted, cached or posted elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aiohttp import web

NO_STORE: Final = "no-store"


def content_security_policy(form_targets: Iterable[str] = ()) -> str:
    """The policy of every page; ``form_targets`` are the sources to which the consent form's answer may lead.

    Browsers apply ``form-action`` to the redirects that follow a form, so the consent page has to name where Accept
    and Decline go. Without it the button seems dead while the code is already minted.
    """
    forms = " ".join(["'self'", *form_targets])
    return (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; "
        f"form-action {forms}; base-uri 'none'; frame-ancestors 'none'"
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
