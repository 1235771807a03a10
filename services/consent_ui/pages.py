"""Renders a template with its view into an answer, with the headers and tokens that keep pages and forms ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.consent_ui.assets import Asset
from shared.contracts.sessions import SessionUser
from shared.secret_tokens import keyed_digest, same_digest
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


@dataclass(frozen=True, slots=True)
class CsrfTokens:
    """Makes and checks the hidden tokens. ``secrets`` newest first: the older ones still open their own forms."""

    secrets: Sequence[bytes] = field(repr=False)

    def token(self, session: str, form: str) -> str:
        """The token of ``form`` (its name, with the id of what it acts on) for the digest of a session."""
        return keyed_digest(self.secrets[0], "csrf", session, form)

    def accepts(self, session: str, form: str, token: str) -> bool:
        """Whether ``token`` belongs to this form and session."""
        return any(same_digest(keyed_digest(secret, "csrf", session, form), token) for secret in self.secrets)


class Visitor(NamedTuple):
    """The signed-in person in front of a page. ``session`` is the digest of the cookie's value."""

    session: str
    user: SessionUser


class WayIn(NamedTuple):
    """A login elsewhere that signs people in here."""

    name: str
    path: str


class Site(NamedTuple):
    """What every page knows of the site it belongs to."""

    name: str
    url: str
    sign_up_open: bool
    passwords: bool
    """Whether people may have an account with a password here."""
    ways_in: tuple[WayIn, ...]
    """The other ways to sign in."""
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
            sign_up_open=settings.local_accounts and settings.sign_up == "open",
            passwords=settings.local_accounts,
            ways_in=_ways_in(settings),
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


def _ways_in(settings: Settings) -> tuple[WayIn, ...]:
    """The logins elsewhere that are configured."""
    ways = []
    if settings.oidc_issuer is not None:
        ways.append(WayIn(settings.oidc_name, "/login/oidc"))
    if settings.login_url is not None:
        ways.append(WayIn(settings.login_name, "/login/site"))
    return tuple(ways)


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
    "Cache-Control": "no-store",
}


async def add_security_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Completes every answer of the service, also redirects and errors; what a handler set stays."""
    for name, value in _EVERYWHERE.items():
        response.headers.setdefault(name, value)
