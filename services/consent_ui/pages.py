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
from services.consent_ui.visitor import Visitor
from shared.settings import Settings

_TEMPLATES: Final = Path(__file__).with_name("templates")
LOGOUT_FORM: Final = "logout"


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
        self._environment.globals["site"] = self.site
        self._environment.filters.update(filters)

    def render(
        self,
        template: str,
        view: Any,
        *,
        visitor: Visitor | None = None,
        form: str = "",
        notice: str | None = None,
    ) -> str:
        """The HTML of a page; its ``token`` is of ``form`` (see ``CsrfTokens``).

        ``notice`` is one of our own sentences about what has just been done.
        """
        token = self._csrf.token(visitor.session, form) if visitor and form else ""
        logout_token = self._csrf.token(visitor.session, LOGOUT_FORM) if visitor else ""
        return self._environment.get_template(template).render(
            view=view, visitor=visitor, logout_token=logout_token, token=token, notice=notice
        )

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
        """The page as an answer; see ``render``, and for ``forms_stay_here`` ``content_security_policy``."""
        return web.Response(
            text=self.render(template, view, visitor=visitor, form=form, notice=notice),
            status=status,
            content_type="text/html",
            charset="utf-8",
            headers={
                "Content-Security-Policy": content_security_policy(forms_stay_here=forms_stay_here),
                "Cache-Control": "no-store",
                **(headers or {}),
            },
        )
