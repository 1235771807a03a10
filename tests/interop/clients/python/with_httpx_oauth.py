"""httpx-oauth: ``OAuth2`` over httpx."""

# ruff: noqa: D103 - a case is called what it plays

from __future__ import annotations

import asyncio
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

from httpx_oauth.oauth2 import GetAccessTokenError, OAuth2, OAuth2ClientAuthMethod

from tests.interop.clients.python.talk import Setting, ask_person, play


def client(
    setting: Setting, method: OAuth2ClientAuthMethod = "client_secret_basic", secret: str | None = None
) -> OAuth2:
    """The confidential client."""
    return OAuth2(
        setting.client_id,
        setting.client_secret if secret is None else secret,
        setting.authorize,
        setting.endpoint("token"),
        revoke_token_endpoint=setting.endpoint("revoke"),
        base_scopes=[setting.scope],
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
    )


async def code(setting: Setting, oauth: OAuth2, **options: str) -> str:
    """The code of an accepted request whose state came back."""
    state = secrets.token_urlsafe(8)
    url = await oauth.get_authorization_url(setting.redirect_uri, state, **options)  # type: ignore[arg-type]
    query = parse_qs(urlsplit(ask_person(open=url)).query)
    assert query["state"] == [state]
    return query["code"][0]


async def fetch(setting: Setting, oauth: OAuth2, given: str, verifier: str | None = None) -> dict[str, Any]:
    """Swaps a code for a key."""
    token = await oauth.get_access_token(given, setting.redirect_uri, verifier)
    return {"token": token["access_token"], "scope": token["scope"]}


def code_of(error: GetAccessTokenError) -> str:
    """The server's error code."""
    assert error.response is not None
    code: str = error.response.json()["error"]
    return code


async def code_basic(setting: Setting) -> dict[str, Any]:
    oauth = client(setting)
    return await fetch(setting, oauth, await code(setting, oauth))


async def code_post(setting: Setting) -> dict[str, Any]:
    oauth = client(setting, "client_secret_post")
    return await fetch(setting, oauth, await code(setting, oauth))


async def public_pkce(setting: Setting) -> dict[str, Any]:
    """It always sends a secret; an empty one counts as none."""
    oauth: OAuth2 = OAuth2(
        setting.public_client_id,
        "",
        setting.authorize,
        setting.endpoint("token"),
        base_scopes=[setting.scope],
    )
    verifier = secrets.token_urlsafe(48)
    challenge = _base64url(sha256(verifier.encode()).digest())
    given = await code(setting, oauth, code_challenge=challenge, code_challenge_method="S256")
    return await fetch(setting, oauth, given, verifier)


async def wrong_secret(setting: Setting) -> dict[str, Any]:
    oauth = client(setting, secret="wrong")
    try:
        return await fetch(setting, oauth, await code(setting, oauth))
    except GetAccessTokenError as error:
        return {"error": code_of(error)}


async def replay(setting: Setting) -> dict[str, Any]:
    oauth = client(setting)
    given = await code(setting, oauth)
    result = await fetch(setting, oauth, given)
    try:
        await fetch(setting, oauth, given)
    except GetAccessTokenError as error:
        return {**result, "error": code_of(error)}
    return result


async def revoke(setting: Setting) -> dict[str, Any]:
    oauth = client(setting)
    result = await fetch(setting, oauth, await code(setting, oauth))
    await oauth.revoke_token(result["token"])
    return {**result, "status": 200}


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _plain(case: Callable[[Setting], Awaitable[dict[str, Any]]]) -> Callable[[Setting], dict[str, Any]]:
    def run(setting: Setting) -> dict[str, Any]:
        async def main() -> dict[str, Any]:
            return await case(setting)

        return asyncio.run(main())

    return run


if __name__ == "__main__":
    cases = (code_basic, code_post, public_pkce, wrong_secret, replay, revoke)
    play({case.__name__: _plain(case) for case in cases})
