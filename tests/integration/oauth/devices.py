"""Devices, as tests of the device flow play them."""

from __future__ import annotations

from typing import Any

import httpx

from tests.harness.site import Client
from tests.integration.oauth.conftest import Provider

START = "/api/v1/oauth/device_authorization"
GRANT = "urn:ietf:params:oauth:grant-type:device_code"


async def start(provider: Provider, client: Client, **form: str) -> dict[str, Any]:
    """The codes for a device."""
    answer = await provider.site.http.post(START, data={"client_id": client.client_id, **form})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def poll(provider: Provider, client: Client, device_code: str) -> httpx.Response:
    """One poll."""
    form = {"grant_type": GRANT, "device_code": device_code}
    if client.secret is None:
        form["client_id"] = client.client_id
    return await provider.site.token(client, **form)


async def ready_to_poll(provider: Provider) -> None:
    """Forgets when devices polled last, as after the interval."""
    redis = provider.resources.bus.redis
    for key in await redis.execute("KEYS", "lk:*:code:*"):
        await redis.execute("HDEL", key, "polled_on")


def error(answer: httpx.Response) -> str:
    """The error of a refused poll."""
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"])
