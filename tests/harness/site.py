"""A running Latchkey from outside: people with their cookies, their clients, resource servers; HTTP as interface.md has it."""

from __future__ import annotations

import itertools
import secrets
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx

PASSWORD: Final = "correct horse battery"
CALLBACK: Final = "https://epicgames.example.com/tachi-auth-callback"

_numbers = itertools.count(1)
NO_AUTHORITIES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""A site of a test speaks HTTP. Left alone, each person's client would read all authorities of the world, for 0.1 s."""


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client, as its author got it."""

    document: Mapping[str, Any]

    @property
    def client_id(self) -> str:
        """`clientID`."""
        return str(self.document["clientID"])

    @property
    def secret(self) -> str | None:
        """`clientSecret`; none for a public client."""
        secret: str | None = self.document["clientSecret"]
        return secret

    @property
    def basic(self) -> tuple[str, str]:
        """For HTTP Basic; ids and secrets of ours need no form-encoding."""
        assert self.secret is not None
        return self.client_id, self.secret


class Site:
    """A running Latchkey seen from outside. Nothing follows redirects; nothing raises for a status."""

    def __init__(
        self, url: str, origin: str, resources: AsyncExitStack, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        """Made by `at`."""
        self.url = url
        self.origin = origin
        self.http = _http(url, transport=transport)
        """Without a session and without an Origin, as a program has it."""
        self._resources = resources
        self._transport = transport

    @classmethod
    @asynccontextmanager
    async def at(
        cls, url: str, origin: str | None = None, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> AsyncIterator[Site]:
        """The site at a URL; `origin` is its public origin if that differs."""
        async with AsyncExitStack() as resources:
            site = cls(url, origin or url, resources, transport)
            await resources.enter_async_context(site.http)
            yield site

    async def visitor(self) -> Person:
        """A person who has not signed in; a browser's headers, and cookies of their own."""
        http = _http(self.url, origin=self.origin, transport=self._transport)
        return Person(self, await self._resources.enter_async_context(http))

    async def sign_up(self, username: str | None = None, password: str = PASSWORD) -> Person:
        """A new person, signed in."""
        person = await self.visitor()
        name = username or f"person{next(_numbers)}-{secrets.token_hex(3)}"
        answer = await person.http.post("/api/v1/users", json={"username": name, "password": password})
        person.username = name
        person.user_id = _json(answer, httpx.codes.CREATED)["userID"]
        return person

    async def token(self, client: Client | None = None, **form: str) -> httpx.Response:
        """`POST /api/v1/oauth/token` with a form, the client authenticated by HTTP Basic if it has a secret."""
        auth = httpx.USE_CLIENT_DEFAULT if client is None or client.secret is None else client.basic
        return await self.http.post("/api/v1/oauth/token", data=form, auth=auth)

    async def exchange(self, client: Client, code: str, **form: str) -> httpx.Response:
        """A code for a key; `redirect_uri` and the like go into `form`."""
        if client.secret is None:
            form.setdefault("client_id", client.client_id)
        return await self.token(client, grant_type="authorization_code", code=code, **form)

    async def verify(self, key: str, *permissions: str) -> httpx.Response:
        """`GET /api/v1/verify` with a key."""
        return await self.http.get("/api/v1/verify", params={"permission": permissions}, headers=bearer(key))


class Person:
    """Somebody with a browser."""

    def __init__(self, site: Site, http: httpx.AsyncClient) -> None:
        """Not signed in yet."""
        self.site = site
        self.http = http
        """With the person's cookies, and the Origin of the site's own pages."""
        self.username = ""
        self.user_id = 0

    async def sign_in(self, username: str, password: str = PASSWORD) -> httpx.Response:
        """`POST /api/v1/session`."""
        return await self.http.post("/api/v1/session", json={"username": username, "password": password})

    async def create_client(self, **fields: Any) -> Client:
        """A client of this person: the seed's, with the given fields instead of its own."""
        body = {"name": "Epic Games", "redirectUri": CALLBACK, "requestedPermissions": ["customise_score"]}
        if "redirectUris" in fields:
            del body["redirectUri"]
        answer = await self.http.post("/api/v1/clients", json={**body, **fields})
        return Client(_json(answer, httpx.codes.CREATED))

    async def create_code(self, client: Client, **fields: Any) -> str:
        """Consent through `create-code`; the code."""
        body = {"clientID": client.client_id, **fields}
        answer = await self.http.post("/api/v1/oauth/create-code", json=body)
        return str(_json(answer)["code"])

    async def give_key(self, client: Client, **fields: Any) -> dict[str, Any]:
        """Consent and exchange; the token response."""
        return _json(await self.site.exchange(client, await self.create_code(client, **fields)))

    async def create_key(self, identifier: str, permissions: Sequence[str], **fields: Any) -> dict[str, Any]:
        """A personal key; the answer with its `token`."""
        body = {"identifier": identifier, "permissions": list(permissions), **fields}
        return _json(await self.http.post("/api/v1/keys", json=body), httpx.codes.CREATED)


def bearer(token: str) -> dict[str, str]:
    """The header that presents a key."""
    return {"Authorization": f"Bearer {token}"}


def _json(answer: httpx.Response, status: int = httpx.codes.OK) -> dict[str, Any]:
    assert answer.status_code == status, f"{answer.request.url.path}: {answer.status_code} {answer.text}"
    document: dict[str, Any] = answer.json()
    return document


def _http(
    url: str, *, origin: str | None = None, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    headers = {} if origin is None else {"Origin": origin}
    return httpx.AsyncClient(
        base_url=url,
        headers=headers,
        timeout=15,
        trust_env=False,
        transport=transport,
        verify=NO_AUTHORITIES,
    )
