"""Where a request was made: the check that keeps other sites from acting with a person's cookie."""

from __future__ import annotations

from aiohttp import web

from shared.settings import Settings
from shared.web.failures import Problem


def is_foreign(request: web.Request, settings: Settings) -> bool:
    """Whether the browser says that another site made this request."""
    origins = request.headers.getall("Origin", [])
    if any(origin != settings.origin for origin in origins):
        return True
    site = request.headers.get("Sec-Fetch-Site")
    return site is not None and site not in ("same-origin", "none")


def is_same_origin(request: web.Request, settings: Settings) -> bool:
    """Whether the browser proves that a page of ours made this request.

    By ``Origin`` equal to the public origin, or by ``Sec-Fetch-Site: same-origin`` where no Origin was sent.
    """
    origins = request.headers.getall("Origin", [])
    if origins:
        return (
            origins == [settings.origin]
            and request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
        )
    return request.headers.getall("Sec-Fetch-Site", []) == ["same-origin"]


def require_same_origin(request: web.Request, settings: Settings) -> None:
    """Refuses a cookie-authenticated change that no page of ours made.

    Raises:
        Problem: 403.
    """
    if not is_same_origin(request, settings):
        raise Problem(
            403,
            f"A change made with the session cookie needs the header Origin: {settings.origin}"
            " (or Sec-Fetch-Site: same-origin).",
        )


def refuse_foreign_origin(request: web.Request, settings: Settings) -> None:
    """Refuses signing in or up from another site's page (login CSRF).

    Raises:
        Problem: 403.
    """
    if is_foreign(request, settings):
        raise Problem(403, f"Signing in and up is only possible from {settings.origin}.")
