"""An author who comes in by a site's own login, without a screen: there, answered by the site's server, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

from aiohttp import ClientError, ClientSession

from deploy.demo_app.latchkey_api import LatchkeyRefused, LatchkeyUnavailable
from deploy.demo_app.own_login import LoginDesk

SEE_OTHER: Final = 303
BEGIN: Final = "/login/site"


@dataclass(frozen=True, slots=True)
class SiteLogin:
    """The login of a site, and one of its people."""

    login_url: str
    """Where Latchkey has to send browsers: its `LATCHKEY_LOGIN_URL`."""
    service_key: str
    person: Mapping[str, str]
    """What the site's server says of them."""

    async def sign_in(self, http: ClientSession, api_url: str) -> None:
        """Gives ``http`` a session of theirs.

        Raises:
            LatchkeyRefused: Latchkey sends nobody to this login; the message says how to start it.
            LatchkeyUnavailable: it does not answer.
        """
        location = await self._follow(http, api_url + BEGIN)
        if location is None or not location.startswith(f"{self.login_url}?"):
            raise LatchkeyRefused(
                "this Latchkey does not send people to the sample site's login. Start it like this:\n\n"
                f"    LATCHKEY_LOGIN_URL={self.login_url} ./latchkey up\n"
            )
        (challenge,) = parse_qs(urlsplit(location).query)["login_challenge"]
        answered = await LoginDesk(http, api_url, self.service_key).answer(challenge, self.person)
        back = urlsplit(answered or "")
        if await self._follow(http, f"{api_url}{back.path}?{back.query}") is None:
            raise LatchkeyRefused("the sign-in by the sample site's login was refused")

    async def _follow(self, http: ClientSession, address: str) -> str | None:
        try:
            async with http.get(address, allow_redirects=False) as answer:
                return answer.headers["Location"] if answer.status == SEE_OTHER else None
        except (ClientError, TimeoutError, OSError) as error:
            raise LatchkeyUnavailable(f"Latchkey does not answer: {type(error).__name__}") from error
