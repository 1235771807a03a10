"""A Redis that has no memory left: nothing new is made, with a clear 503, and everything can be taken back (issue 14, A4)."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest
from redis.asyncio import Redis

from deploy.embedded.ports import free_port
from services.consent_ui.app import create_app as create_consent_ui
from shared import contracts
from shared.contracts.messages import Command
from shared.settings import load_settings
from shared.web.server import serving
from tests.harness.rights import users_of_services
from tests.harness.site import PASSWORD, Person, Site
from tests.harness.stack import Stack, serving_stack
from tests.harness.stores import Servers, Stores, fresh_database
from tests.integration.bus.conftest import Valkey
from tests.integration.consent_ui.visits import open_page, press

BOUND_SECONDS: Final = 1.0
"""How soon a key that was taken back is refused by every verifier (product.md, promise 3)."""
AGAIN_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Replicas:
    """The same site twice, on a Redis of its own."""

    one: Stack
    two: Stack

    async def fill(self) -> None:
        """From now on Redis holds more than it may."""
        await configure(self.one.stores, 1)

    async def free(self) -> None:
        """There is room again."""
        await configure(self.one.stores, 0)

    async def refused(self, *tokens: str) -> None:
        """Every verifier refuses these keys within the bound."""
        deadline = time.monotonic() + BOUND_SECONDS
        for stack in (self.one, self.two):
            for token in tokens:
                while (status := (await stack.site.verify(token)).status_code) == 200:
                    assert time.monotonic() < deadline, "a key that was taken back is still accepted"
                    await asyncio.sleep(0.01)
                assert status == 401

    async def works(self, person: Person) -> None:
        """Keys are made again, without a restart."""
        async with asyncio.timeout(AGAIN_SECONDS):
            while (await make_key(person)).status_code != 201:
                await asyncio.sleep(0.05)
        key = (await make_key(person)).json()
        for stack in (self.one, self.two):
            assert (await stack.site.verify(key["token"])).status_code == 200


async def configure(stores: Stores, maxmemory: int) -> None:
    """Limits Redis to so many bytes; 0 is no limit."""
    async with Redis.from_url(stores.redis_url) as server:
        await server.config_set("maxmemory", maxmemory)


async def make_key(person: Person) -> httpx.Response:
    """Asks for a personal key."""
    body = {"identifier": "Mine", "permissions": ["submit_score"]}
    return await person.http.post("/api/v1/keys", json=body)


@asynccontextmanager
async def pages_of(stack: Stack) -> AsyncIterator[Site]:
    """A consent_ui of the site, as the user of Redis that a deployment gives to it."""
    port = free_port()
    async with users_of_services(stack.stores.redis_url) as redis_urls:
        variables = {**stack.stores.environment(), "LATCHKEY_PUBLIC_URL": stack.url}
        settings = load_settings({**variables, "LATCHKEY_REDIS_URL": redis_urls["consent_ui"]})
        async with (
            serving(create_consent_ui(settings), "127.0.0.1", port, drain_seconds=1),
            Site.at(f"http://127.0.0.1:{port}", stack.url) as site,
        ):
            yield site


@pytest.fixture
async def replicas(servers: Servers, valkey: Valkey) -> AsyncIterator[Replicas]:
    """The site with two replicas."""
    async with (
        fresh_database(servers) as database_url,
        serving_stack(Stores(database_url, valkey.url)) as one,
        serving_stack(one.stores, {"PUBLIC_URL": one.url}) as two,
    ):
        yield Replicas(one, two)


async def remembered(replicas: Replicas, *tokens: str) -> None:
    """Both replicas have just answered for these keys."""
    for stack in (replicas.one, replicas.two):
        for token in tokens:
            assert (await stack.site.verify(token)).status_code == 200


async def test_what_makes_something_is_a_clear_503(replicas: Replicas) -> None:
    """Keys, exchanges, sign-ins, devices: 503 with Retry-After at once; afterwards all of it works without a restart."""
    site = replicas.one.site
    person = await site.sign_up()
    client = await person.create_client()
    code = await person.create_code(client)
    await replicas.fill()
    credentials = {"username": person.username, "password": PASSWORD}
    device = {"client_id": client.client_id}
    answers = [
        await make_key(person),
        await site.exchange(client, code),
        await person.http.post("/api/v1/oauth/create-code", json={"clientID": client.client_id}),
        await site.http.post("/api/v1/session", json=credentials),
        await site.http.post("/api/v1/oauth/device_authorization", data=device),
        await person.http.get(f"/oauth/request-auth?clientID={client.client_id}"),
    ]
    for answer in answers:
        assert answer.status_code == 503, (answer.request.url.path, answer.text)
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.elapsed.total_seconds() < 4
    await replicas.free()
    await replicas.works(person)
    assert (await site.exchange(client, code)).status_code == 200


async def test_over_rest_everything_is_taken_back(replicas: Replicas) -> None:
    """Each way of taking back answers its success, and every verifier refuses the key in time."""
    site = replicas.one.site
    person = await site.sign_up()
    app, replayed, gone = [await person.create_client() for _ in range(3)]
    code = await person.create_code(replayed)
    first = (await site.exchange(replayed, code)).json()
    own, paused, leaked = [(await make_key(person)).json() for _ in range(3)]
    returned, disconnected = [await person.give_key(app) for _ in range(2)]
    deleted = await person.give_key(gone)
    given = [each["access_token"] for each in (first, returned, disconnected, deleted)]
    await remembered(replicas, *given, *(each["token"] for each in (own, paused, leaked)))
    await replicas.fill()

    http = person.http
    assert (await http.delete(f"/api/v1/keys/{own['keyID']}")).status_code == 204
    await replicas.refused(own["token"])
    paused_path = f"/api/v1/keys/{paused['keyID']}"
    assert (await http.patch(paused_path, json={"status": "paused"})).status_code == 200
    await replicas.refused(paused["token"])
    back = {"token": returned["access_token"]}
    assert (await site.http.post("/api/v1/oauth/revoke", data=back, auth=app.basic)).status_code == 200
    await replicas.refused(returned["access_token"])
    leak = {"token": leaked["token"]}
    assert (await site.http.post("/api/v1/keys/report-leak", json=leak)).status_code == 202
    await replicas.refused(leaked["token"])
    assert (await site.exchange(replayed, code)).json()["error"] == "invalid_grant"
    await replicas.refused(first["access_token"])
    assert (await http.delete(f"/api/v1/apps/{app.client_id}")).status_code == 204
    await replicas.refused(disconnected["access_token"])
    assert (await http.delete(f"/api/v1/clients/{gone.client_id}")).status_code == 204
    await replicas.refused(deleted["access_token"])
    other = await _second_browser(replicas, person)
    assert (await http.delete("/api/v1/session")).status_code == 204
    person.http = other
    await replicas.free()
    await replicas.works(person)


async def _second_browser(replicas: Replicas, person: Person) -> httpx.AsyncClient:
    """Where the person signs in once more, for which there must be room for a moment."""
    await replicas.free()
    other = await person.site.visitor()
    assert (await other.sign_in(person.username)).status_code == 200
    await replicas.fill()
    return other.http


async def test_on_the_pages_everything_is_taken_back(replicas: Replicas) -> None:
    """The pages are shown and their buttons work, with no more rights than a deployment gives to consent_ui."""
    site = replicas.one.site
    person = await site.sign_up()
    app = await person.create_client()
    own, another = [(await make_key(person)).json() for _ in range(2)]
    given = await person.give_key(app)
    await remembered(replicas, own["token"], another["token"], given["access_token"])
    cookies = dict(person.http.cookies)
    async with pages_of(replicas.one) as pages:
        await replicas.fill()
        visitor = await pages.visitor()
        visitor.http.cookies = httpx.Cookies(cookies)
        assert "Epic Games" in (await open_page(visitor, "/")).text
        question = await open_page(visitor, f"/keys/{own['keyID']}/revoke")
        assert (await press(visitor, question, "Revoke")).headers["Location"] == "/?done=revoked"
        await replicas.refused(own["token"])
        question = await open_page(visitor, f"/apps/{app.client_id}/disconnect")
        assert (await press(visitor, question, "Disconnect")).headers["Location"] == "/?done=disconnected"
        await replicas.refused(given["access_token"])
        question = await open_page(visitor, "/revoke-all")
        pressed = await press(visitor, question, "Revoke everything")
        assert pressed.headers["Location"] == "/?done=all-revoked"
        await replicas.refused(another["token"])
        home = await open_page(visitor, "/")
        assert (await press(visitor, home, "Sign out")).status_code == 303
        assert (await person.http.get("/api/v1/session")).status_code == 401


async def test_services_that_start_meanwhile_take_back_too(servers: Servers, valkey: Valkey) -> None:
    """They join their groups and open their reply streams; nothing has to wait for memory."""
    async with fresh_database(servers) as database_url:
        stores = Stores(database_url, valkey.url)
        async with serving_stack(stores) as before:
            person = await before.site.sign_up()
            key = (await make_key(person)).json()
        await configure(stores, 1)
        async with serving_stack(stores, {"PUBLIC_URL": before.url}) as after:
            person.site, cookies = after.site, dict(person.http.cookies)
            async with httpx.AsyncClient(
                base_url=after.site.url, cookies=cookies, headers={"Origin": before.url}, trust_env=False
            ) as http:
                answer = await http.delete(f"/api/v1/keys/{key['keyID']}")
            assert answer.status_code == 204, answer.text
            assert (await after.site.verify(key["token"])).status_code == 401


def test_every_command_that_takes_back_is_sent_to_a_full_redis() -> None:
    """By what commands are called: whoever adds one is reminded here."""
    named = re.compile(r"Revoke|End|Delete|Disconnect|Abandon|Change|ResetClientSecret")
    refused = [each.__name__ for each in _commands() if named.match(each.__name__) and not each.always_passes]
    assert refused == []


def _commands() -> set[type[Command[Any]]]:
    for module in pkgutil.iter_modules(contracts.__path__, f"{contracts.__name__}."):
        importlib.import_module(module.name)
    found: set[type[Command[Any]]] = set()
    waiting: list[type[Command[Any]]] = [Command]
    while waiting:
        subclasses = waiting.pop().__subclasses__()
        waiting += subclasses
        found.update(each for each in subclasses if "type" in vars(each) and "shared" in each.__module__)
    return found
