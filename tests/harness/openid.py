"""An OpenID provider that does what a test wants of it, also wrong: discovery, keys, codes and tokens over HTTP."""

from __future__ import annotations

import hashlib
import secrets
import time
import warnings
from base64 import b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from aiohttp import web
from joserfc import jwk, jwt
from joserfc.errors import SecurityWarning

from deploy.embedded.ports import free_port

CLIENT_ID = "latchkey at the provider"
CLIENT_SECRET = "a secret: with/odd+signs"
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


@dataclass
class Provider:
    """What it says of itself, and what it does to the next sign-in; tests change the fields."""

    issuer: str
    keys: list[Any] = field(default_factory=list)
    algorithm: str = "RS256"
    person: dict[str, Any] = field(
        default_factory=lambda: {"sub": "p-1", "preferred_username": "zoe", "name": "Zoë"}
    )
    claims: dict[str, Any] = field(default_factory=dict)
    """Put over those of the next ID token; `None` leaves one out."""
    metadata: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] | None = None
    token: str | None = None
    """Answered in place of an ID token."""
    broken: dict[str, int] = field(default_factory=dict)
    """Path → the status that it answers instead."""
    asked: list[str] = field(default_factory=list)
    """The paths that were asked."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tells_key_id: bool = True
    redirect_uris: set[str] = field(default_factory=set)
    """Known to the authorization endpoint, which signs nobody in."""
    headers: dict[str, str] = field(default_factory=dict)
    """Of the keys' answer."""

    def rotate(self) -> None:
        """From now on it signs with a new key, and tells of no other."""
        kind, curve = {"RS256": ("RSA", 2048), "ES256": ("EC", "P-256"), "EdDSA": ("OKP", "Ed25519")}[
            self.algorithm
        ]
        self.keys = [jwk.generate_key(kind, curve, {"kid": secrets.token_hex(4), "use": "sig"})]  # type: ignore[call-overload]

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """A token of its own."""
        key = self.keys[-1]
        named = {"alg": self.algorithm, **({"kid": key.kid} if self.tells_key_id else {}), **header}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # `EdDSA` has a newer name
            return jwt.encode(named, claims, key, algorithms=[named["alg"]])

    def id_token(self, nonce: str) -> str:
        """The ID token of a sign-in, with what the test wants changed."""
        now = int(time.time())
        usual = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            **self.person,
        }
        claims = {name: value for name, value in {**usual, **self.claims}.items() if value is not None}
        return self.sign(claims)

    def logout_token(self, **changed: Any) -> str:
        """A logout token for its person."""
        usual = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": int(time.time()),
            "jti": secrets.token_hex(8),
            "events": {LOGOUT_EVENT: {}},
            "sub": self.person["sub"],
        }
        claims = {name: value for name, value in {**usual, **changed}.items() if value is not None}
        return self.sign(claims, typ="logout+jwt")

    def approve(self, location: str, **changed: str) -> str:
        """What the person's browser does at the authorization endpoint: the query that leads it back."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        assert asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_hex(8)
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?code={changed.get('code', code)}&state={changed.get('state', asked['state'])}"


@asynccontextmanager
async def running_provider() -> AsyncIterator[Provider]:
    """A provider on a port of loopback."""
    port = free_port()
    provider = Provider(f"http://127.0.0.1:{port}/realm")
    provider.rotate()
    application = web.Application()
    application.add_routes([web.route("*", "/{path:.*}", partial(_answer, provider))])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield provider
    finally:
        await runner.cleanup()


async def _answer(provider: Provider, request: web.Request) -> web.StreamResponse:
    path = request.path.removeprefix("/realm")
    provider.asked.append(path)
    if path in provider.broken:
        return web.Response(status=provider.broken[path])
    if path == "/.well-known/openid-configuration":
        return web.json_response({**_metadata(provider), **provider.metadata})
    if path == "/keys":
        keys = [key.as_dict(private=False) for key in provider.keys]
        return web.json_response({"keys": keys}, headers=provider.headers)
    if path == "/authorize":
        return _authorize(provider, request)
    if path == "/token":
        return await _token(provider, request)
    found = path == "/userinfo" and provider.userinfo is not None
    return web.json_response(provider.userinfo) if found else web.Response(status=404)


def _authorize(provider: Provider, request: web.Request) -> web.Response:
    """Nobody is signed in there: where the client and its address are known, the browser goes back with that."""
    redirect_uri = request.query["redirect_uri"]
    if redirect_uri not in provider.redirect_uris or request.query["prompt"] != "none":
        return web.Response(status=400)
    return web.Response(status=302, headers={"Location": f"{redirect_uri}?error=login_required"})


def _metadata(provider: Provider) -> dict[str, Any]:
    at = provider.issuer
    known = {
        "issuer": at,
        "authorization_endpoint": f"{at}/authorize",
        "token_endpoint": f"{at}/token",
        "jwks_uri": f"{at}/keys",
    }
    return known if provider.userinfo is None else {**known, "userinfo_endpoint": f"{at}/userinfo"}


async def _token(provider: Provider, request: web.Request) -> web.Response:
    form = await request.post()
    asked = provider.codes.pop(str(form["code"]), None)
    given = b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode().split(":")
    if [unquote(part) for part in given] != [CLIENT_ID, CLIENT_SECRET] or asked is None:
        return web.json_response({"error": "invalid_grant"}, status=400)
    digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
    challenge = urlsafe_b64encode(digest).decode().rstrip("=")
    if challenge != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
        return web.json_response({"error": "invalid_grant"}, status=400)
    id_token = provider.token or provider.id_token(asked["nonce"])
    return web.json_response({"access_token": "a", "token_type": "Bearer", "id_token": id_token})
