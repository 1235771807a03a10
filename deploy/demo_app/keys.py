"""What the site's application holds, by typed keys."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from aiohttp import web
from jinja2 import Environment

from deploy.demo_app.latchkey_api import LatchkeyApi
from deploy.demo_app.visitors import Visitors


@dataclass(frozen=True, slots=True)
class Site:
    """Where the site is, and where its Latchkey."""

    origin: str
    """The site's own origin, like ``http://127.0.0.1:8090``."""
    redirect_uri: str
    """Where people come back to; registered with Latchkey."""
    latchkey: str
    """Latchkey's public address."""
    client_id: str

    def link(self, state: str, context: str) -> str:
        """The address that asks a person to link their account."""
        query = urlencode({"clientID": self.client_id, "state": state, "context": context})
        return f"{self.latchkey}/oauth/request-auth?{query}"


SITE: web.AppKey[Site] = web.AppKey("site", Site)
LATCHKEY: web.AppKey[LatchkeyApi] = web.AppKey("latchkey", LatchkeyApi)
VISITORS: web.AppKey[Visitors] = web.AppKey("visitors", Visitors)
TEMPLATES: web.AppKey[Environment] = web.AppKey("templates", Environment)
