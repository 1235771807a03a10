"""Registering the site with Latchkey: an account for its author, a client, and a file that keeps both."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from aiohttp import ClientError, ClientSession, CookieJar

from deploy.demo_app.author_login import SiteLogin
from deploy.demo_app.latchkey_api import TIMEOUT, ClientCredentials, LatchkeyRefused, LatchkeyUnavailable

CLIENT_NAME: Final = "Epic Games"
PERMISSIONS: Final = ("customise_score",)
CALLBACK_PATH: Final = "/tachi-auth-callback"
METADATA_PATH: Final = "/.well-known/oauth-authorization-server"


@dataclass(frozen=True, slots=True)
class Registration:
    """The site at one Latchkey: the author's account and the client. Both secrets are in clear."""

    issuer: str
    username: str
    password: str
    client_id: str
    client_secret: str

    @property
    def credentials(self) -> ClientCredentials:
        """What the exchange needs."""
        return ClientCredentials(self.client_id, self.client_secret)


async def issuer_of(api_url: str) -> str:
    """The public address of the Latchkey that answers at ``api_url`` (RFC 8414).

    Raises:
        LatchkeyUnavailable: nothing that is a Latchkey answers there.
    """
    try:
        async with ClientSession(timeout=TIMEOUT) as http, http.get(api_url + METADATA_PATH) as answer:
            metadata = await answer.json()
            return str(metadata["issuer"])
    except (ClientError, TimeoutError, OSError, ValueError, LookupError, TypeError) as error:
        raise LatchkeyUnavailable(
            f"no Latchkey answers at {api_url}; start one with `./latchkey up`"
        ) from error


async def register(
    api_url: str, issuer: str, redirect_uri: str, file: Path, login: SiteLogin | None = None
) -> Registration:
    """The site's registration: the kept one if Latchkey still knows it, else a new one, kept in ``file`` (0600).

    With ``login`` its author comes in by another site's own login, and has no password here.

    Raises:
        LatchkeyUnavailable, LatchkeyRefused: it could not be made; the message says why.
    """
    author = _Author(api_url, issuer, login)
    async with author:
        kept = _load(file)
        if kept is not None and kept.issuer == issuer:
            renewed = await author.renew(kept, redirect_uri)
            if renewed is not None:
                _keep(file, renewed)
                return renewed
        made = await author.register(redirect_uri)
        _keep(file, made)
        return made


class _Author:
    """The account that owns the client, signed in over the public REST API."""

    def __init__(self, api_url: str, issuer: str, login: SiteLogin | None) -> None:
        self._api_url = api_url
        self._issuer = issuer
        self._login = login

    async def __aenter__(self) -> Self:
        # Latchkey may well be at an IP address, whose cookies aiohttp keeps only on request.
        jar = CookieJar(unsafe=True)
        self._http = ClientSession(cookie_jar=jar, timeout=TIMEOUT, headers={"Origin": self._issuer})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def register(self, redirect_uri: str) -> Registration:
        """A new account and a new client."""
        username, password = f"epic-games-{secrets.token_hex(4)}", secrets.token_urlsafe(24)
        if self._login is None:
            await self._expect(201, "POST", "/api/v1/users", {"username": username, "password": password})
        else:
            await self._login.sign_in(self._http, self._api_url)
        client = await self._expect(
            201,
            "POST",
            "/api/v1/clients",
            {
                "name": CLIENT_NAME,
                "redirectUri": redirect_uri,
                "requestedPermissions": list(PERMISSIONS),
                "description": "Shows your best scores beside your games.",
            },
        )
        return Registration(self._issuer, username, password, client["clientID"], client["clientSecret"])

    async def renew(self, kept: Registration, redirect_uri: str) -> Registration | None:
        """The kept registration, brought up to date; ``None`` if its account or client is gone."""
        if self._login is not None:
            await self._login.sign_in(self._http, self._api_url)
        else:
            credentials = {"username": kept.username, "password": kept.password}
            signed_in, _ = await self._send("POST", "/api/v1/session", credentials)
            if signed_in != 200:  # noqa: PLR2004
                return None
        path = f"/api/v1/clients/{kept.client_id}"
        found, client = await self._send("GET", path)
        if found != 200:  # noqa: PLR2004
            return None
        if client["redirectUri"] != redirect_uri:
            await self._expect(200, "PATCH", path, {"redirectUri": redirect_uri})
        if await self._knows_secret(kept):
            return kept
        client = await self._expect(200, "POST", f"{path}/reset-secret", {"overlapSeconds": 0})
        return Registration(kept.issuer, kept.username, kept.password, kept.client_id, client["clientSecret"])

    async def _knows_secret(self, kept: Registration) -> bool:
        """Whether the client's secret is still good, asked in a way that changes nothing."""
        form = {"token": "none", "client_id": kept.client_id, "client_secret": kept.client_secret}
        async with self._http.post(self._api_url + "/api/v1/oauth/introspect", data=form) as answer:
            return answer.status == 200  # noqa: PLR2004

    async def _expect(self, wanted: int, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        status, answer = await self._send(method, path, body)
        if status != wanted:
            raise LatchkeyRefused(f"{method} {path} answered {status}: {answer.get('detail', answer)}")
        return answer

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        try:
            async with self._http.request(method, self._api_url + path, json=body) as answer:
                data = await answer.json(content_type=None)
                if answer.status >= 500 or answer.status == 429:  # noqa: PLR2004
                    raise LatchkeyUnavailable(
                        f"{method} {path} answered {answer.status}; try again in a moment"
                    )
                return answer.status, data if isinstance(data, dict) else {}
        except (ClientError, TimeoutError, OSError, ValueError) as error:
            raise LatchkeyUnavailable(f"{method} {path}: {str(error) or type(error).__name__}") from error


def _load(file: Path) -> Registration | None:
    try:
        return Registration(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _keep(file: Path, registration: Registration) -> None:
    """Written beside and renamed, readable by its owner alone from its first byte."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_name(file.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as target:
        json.dump(asdict(registration), target, indent=2)
        target.write("\n")
    new.replace(file)
