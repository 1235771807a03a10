"""Requests of the token endpoint exactly as a test spells them, and what a refused one looks like."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

import httpx

from tests.harness.site import Client
from tests.integration.oauth.conftest import Provider

TOKEN = "/api/v1/oauth/token"


def refused(answer: httpx.Response, *codes: str, status: int = 400) -> None:
    """The answer is an OAuth error with one of the codes."""
    assert answer.status_code == status, answer.text
    assert answer.json()["error"] in codes, answer.text
    assert set(answer.json()) >= {"error", "error_description"}
    assert answer.headers["Cache-Control"] == "no-store"


async def send(
    provider: Provider, client: Client, pairs: Iterable[tuple[str, str]], path: str = TOKEN
) -> httpx.Response:
    """A form exactly as given, duplicates included."""
    body = "&".join(f"{quote(name, safe='[]')}={quote(value)}" for name, value in pairs)
    return await raw(provider, client, body.encode(), path=path)


async def raw(
    provider: Provider,
    client: Client,
    body: bytes,
    *,
    media_type: str | None = "application/x-www-form-urlencoded",
    path: str = TOKEN,
) -> httpx.Response:
    """A body exactly as given."""
    headers = {} if media_type is None else {"Content-Type": media_type}
    return await provider.site.http.post(path, content=body, headers=headers, auth=client.basic)
