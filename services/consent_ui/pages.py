"""Renders a template with its view into an answer. Everything a template prints is escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.consent_ui.assets import Asset
from services.consent_ui.csrf import CsrfTokens
from services.consent_ui.security_headers import content_security_policy
from shared.contracts.sessions import SessionUser
from shared.settings import Settings

_TEMPLATES: Final = Path(__file__).with_name("templates")
LOGOUT_FORM: Final = "logout"
OVERLAPS: Final = {
    0: "at once",
    3600: "after one hour",
    86_400: "after one day",
    604_800: "after seven days",
}
"""How long an old secret or key may go on working: seconds → words."""


class Visitor(NamedTuple):
    """The signed-in person in front of a page. ``session`` is the digest of the cookie's value."""

    session: str
    user: SessionUser


class Site(NamedTuple):
    """What every page knows of the site it belongs to."""

    name: str
    url: str
    sign_up_open: bool
    stylesheet: str
    icon: str
    script: str
    addresses_script: str


class Pages:
    """The templates of the service, compiled once."""

    def __init__(
        self,
        settings: Settings,
        assets: Mapping[str, Asset],
        csrf: CsrfTokens,
        filters: Mapping[str, Callable[[Any], Any]],
    ) -> None:
        """Reads nothing yet; templates are compiled on first use and kept."""
        self._csrf = csrf
        self._environment = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self.site = Site(
            name=settings.site_name,
            url=settings.public_url,
            sign_up_open=settings.sign_up == "open",
            stylesheet=assets["latchkey.css"].path,
            icon=assets["latchkey.svg"].data_address,
            script=assets["latchkey.js"].path,
            addresses_script=assets["latchkey.addresses.js"].path,
        )
        self._environment.globals.update(site=self.site, overlaps=OVERLAPS)
        self._environment.filters.update(filters)

    def respond(
        self,
        template: str,
        view: Any,
        *,
        visitor: Visitor | None = None,
        form: str = "",
        notice: str | None = None,
        status: int = 200,
        forms_stay_here: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        """The page as an answer; its ``token`` is of ``form`` (see ``CsrfTokens``).

        ``notice`` is one of our own sentences about what has just been done. For ``forms_stay_here`` see
        ``content_security_policy``.
        """
        html = self._environment.get_template(template).render(
            view=view,
            visitor=visitor,
            logout_token=self._csrf.token(visitor.session, LOGOUT_FORM) if visitor else "",
            token=self._csrf.token(visitor.session, form) if visitor and form else "",
            notice=notice,
        )
        return web.Response(
            text=html,
            status=status,
            content_type="text/html",
            charset="utf-8",
            headers={
                "Content-Security-Policy": content_security_policy(forms_stay_here=forms_stay_here),
                "Cache-Control": "no-store",
                **(headers or {}),
            },
        )
