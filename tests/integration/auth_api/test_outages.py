"""While a store or the issuer is away: 503 with Retry-After within 4 s, never anything else (interface §3)."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from deploy.embedded.ports import free_port
from services.auth_api.accounts.service import Account
from services.auth_api.app import create_app
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.sessions.service import start_session
from shared.settings import load_settings
from shared.web.server import serving
from tests.harness.site import CALLBACK, PASSWORD
from tests.harness.stores import Stores
from tests.integration.auth_api.conftest import Registry, serving_registry

CREDENTIALS = {"username": "Somebody", "password": PASSWORD}
CLIENT = {"name": "Epic Games", "redirectUri": CALLBACK, "requestedPermissions": ["customise_score"]}
KEY = "0" * 16
REQUESTS: list[tuple[str, str, Any]] = [
    ("POST", "/api/v1/users", CREDENTIALS),
    ("POST", "/api/v1/session", CREDENTIALS),
    ("GET", "/api/v1/session", None),
    ("DELETE", "/api/v1/session", None),
    ("POST", "/api/v1/clients", CLIENT),
    ("GET", "/api/v1/clients", None),
    ("GET", "/api/v1/clients/lkc_0000000000000000", None),
    ("PATCH", "/api/v1/clients/lkc_0000000000000000", {"name": "Changed"}),
    ("POST", "/api/v1/clients/lkc_0000000000000000/reset-secret", {"overlapSeconds": 0}),
    ("DELETE", "/api/v1/clients/lkc_0000000000000000", None),
    ("GET", "/api/v1/apps", None),
    ("DELETE", "/api/v1/apps/lkc_0000000000000000", None),
    ("GET", "/api/v1/keys", None),
    ("POST", "/api/v1/keys", {"identifier": "x", "permissions": ["submit_score"]}),
    ("PATCH", f"/api/v1/keys/{KEY}", {"status": "paused"}),
    ("DELETE", f"/api/v1/keys/{KEY}", None),
    ("POST", f"/api/v1/keys/{KEY}/rotate", {"overlapSeconds": 0}),
]
NEEDS_NO_REDIS = {("GET", "/api/v1/clients/lkc_0000000000000000")}
SIGN_OUT = ("DELETE", "/api/v1/session")
NEEDS_NO_POSTGRES = {SIGN_OUT}


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        yield listening.getsockname()[1]


@asynccontextmanager
async def serving_without(store: str, how: str, stores: Stores) -> AsyncIterator[httpx.AsyncClient]:
    """auth_api with one store refusing connections or answering nothing; a client with somebody's cookie."""
    async with silent_server() as silent:
        away = silent if how == "silent" else free_port()
        environment = stores.environment()
        if store == "redis":
            environment["LATCHKEY_REDIS_URL"] = f"redis://127.0.0.1:{away}/0"
        else:
            environment["LATCHKEY_DATABASE_URL"] = f"postgresql://latchkey@127.0.0.1:{away}/latchkey"
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        settings = load_settings({"LATCHKEY_PUBLIC_URL": url, **environment})
        application = create_app(settings)
        async with serving(application, "127.0.0.1", port, drain_seconds=1):
            cookie = "a" * 43
            if store == "postgres":
                cookie = await start_session(application[RESOURCES], Account(1, "Somebody", 0))
            headers = {"Origin": url, "Cookie": f"latchkey_session={cookie}"}
            async with httpx.AsyncClient(base_url=url, headers=headers, timeout=10, trust_env=False) as http:
                yield http


@pytest.mark.parametrize("how", ["refusing", "silent"])
@pytest.mark.parametrize("store", ["redis", "postgres"])
async def test_every_endpoint_is_503_in_time_while_a_store_is_away(
    stores: Stores, store: str, how: str
) -> None:
    """503 with Retry-After within 4 s, all at once; a cookie that cannot be checked is never 401."""
    free = NEEDS_NO_REDIS if store == "redis" else NEEDS_NO_POSTGRES
    async with serving_without(store, how, stores) as http:

        async def ask(method: str, path: str, body: Any) -> str | None:
            begun = time.monotonic()
            answer = await http.request(method, path, json=body)
            took = time.monotonic() - begun
            if (method, path) in free:
                return None if answer.status_code in (204, 404) else f"{method} {path}: {answer.status_code}"
            fine = answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0 and took < 4
            return None if fine else f"{method} {path}: {answer.status_code} after {took:.1f} s"

        *others, sign_out = sorted(REQUESTS, key=lambda each: each[:2] == SIGN_OUT)
        wrong = [*await asyncio.gather(*(ask(*each) for each in others)), await ask(*sign_out)]
        assert [each for each in wrong if each] == []


@pytest.mark.parametrize("path", ["/api/v1/session", "/api/v1/users"])
async def test_a_form_goes_back_to_its_page_while_redis_is_away(stores: Stores, path: str) -> None:
    """303 with the reason, so that the person reads a page of ours."""
    page = {"/api/v1/session": "/login", "/api/v1/users": "/sign-up"}[path]
    async with serving_without("redis", "refusing", stores) as http:
        answer = await http.post(path, data=CREDENTIALS)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{page}?error=unavailable")


async def test_limits_fail_closed(stores: Stores) -> None:
    """Without Redis no password is tried at all, right or wrong."""
    async with serving_without("redis", "refusing", stores) as http:
        for password in (PASSWORD, "wrong password"):
            answer = await http.post("/api/v1/session", json={"username": "Nobody", "password": password})
            assert answer.status_code == 503


async def test_the_service_recovers_by_itself(registry: Registry) -> None:
    """It starts without Redis, and works once Redis is there."""
    port = free_port()
    environment = registry.stores.environment()
    target = httpx.URL(environment["LATCHKEY_REDIS_URL"])

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", target.port)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                sink.write(data)
            sink.close()

        await asyncio.gather(copy(reader, other_writer), copy(other_reader, writer), return_exceptions=True)

    stores = Stores(
        registry.stores.database_url, str(target.copy_with(port=port)).replace("http", "redis", 1)
    )
    async with serving_registry(stores, {}) as late:
        assert (await late.site.http.post("/api/v1/session", json=CREDENTIALS)).status_code == 503
        server = await asyncio.start_server(pipe, "127.0.0.1", port)
        try:
            async with asyncio.timeout(10):
                while (await late.site.http.post("/api/v1/session", json=CREDENTIALS)).status_code == 503:
                    await asyncio.sleep(0.05)
            person = await late.site.sign_up()
            assert (await person.http.get("/api/v1/session")).status_code == 200
        finally:
            server.close()


async def test_a_deletion_is_finished_by_its_event_or_a_retry(stores: Stores) -> None:
    """With the issuer away: 503, the client is gone, and its keys end once the issuer runs; the retry is 204."""
    async with serving_registry(stores, {"THROTTLE": "off"}) as registry:
        person = await registry.site.sign_up()
        client, other = await person.create_client(), await person.create_client()
        token = (await person.give_key(client))["access_token"]
        second = (await person.give_key(other))["access_token"]
        cookie = person.http.cookies["latchkey_session"]
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = load_settings({"LATCHKEY_PUBLIC_URL": url, **stores.environment()})
    headers = {"Origin": url, "Cookie": f"latchkey_session={cookie}"}
    async with (
        serving(create_app(settings), "127.0.0.1", port, drain_seconds=1),
        httpx.AsyncClient(base_url=url, headers=headers, timeout=10, trust_env=False) as http,
    ):
        for path in (f"/api/v1/clients/{client.client_id}", f"/api/v1/apps/{other.client_id}"):
            answer = await http.delete(path)
            assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
        assert (await http.get(f"/api/v1/clients/{client.client_id}")).status_code == 404
    async with serving_registry(stores, {"THROTTLE": "off"}) as registry:
        async with asyncio.timeout(10):
            for each in (token, second):
                while (await registry.issuer.verify(each)).status_code != 401:
                    await asyncio.sleep(0.05)
        again = {"Origin": registry.site.origin, "Cookie": f"latchkey_session={cookie}"}
        for path in (f"/api/v1/clients/{client.client_id}", f"/api/v1/apps/{other.client_id}"):
            assert (await registry.site.http.delete(path, headers=again)).status_code == 204
        final = await registry.site.http.delete(f"/api/v1/clients/{client.client_id}", headers=again)
        assert final.status_code == 404
