"""The keys of a client's webhooks over HTTP: shown to the author, rotated with an overlap, and never stored."""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode
from typing import Any

import httpx
import pytest

from services.auth_api.clients.registry import delete_client
from services.auth_api.webhooks.keys import KEPT_VERSION_DAYS, derive_key, live_keys
from shared.purge import Purge
from tests.harness.site import Client, Person
from tests.integration.auth_api.conftest import Registry, RegistryStarter, serving_registry

DAY = 86_400


def keys_path(client: Client) -> str:
    """Where the keys are; `/rotate` behind it rotates them."""
    return f"/api/v1/clients/{client.client_id}/webhook-keys"


async def rotate(person: Person, client: Client, overlap: object, **headers: str) -> httpx.Response:
    """A rotation."""
    return await person.http.post(
        f"{keys_path(client)}/rotate", json={"overlapSeconds": overlap}, headers=headers
    )


def versions(answer: httpx.Response) -> list[int]:
    """The versions of an answer, in its order."""
    assert answer.status_code == 200, answer.text
    return [key["version"] for key in answer.json()["keys"]]


async def test_the_author_sees_the_keys_before_there_is_an_address(registry: Registry) -> None:
    """Version 1, both halves, no end; not to be kept by anything on the way."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    answer = await person.http.get(keys_path(client))
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert list(answer.json()) == ["keys"]
    (key,) = answer.json()["keys"]
    assert list(key) == ["version", "secret", "publicKey", "endsOn"]
    assert (key["version"], key["endsOn"]) == (1, None)
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", key["secret"])
    assert re.fullmatch(r"whpk_[A-Za-z0-9+/]{43}=", key["publicKey"])
    assert (await person.http.get(keys_path(client))).json() == answer.json()
    other = await person.create_client()
    assert (await person.http.get(keys_path(other))).json() != answer.json()


async def test_every_replica_and_every_restart_has_the_same_keys(registry: Registry) -> None:
    """They follow from the server's secret, and are what signs."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    await rotate(person, client, DAY)
    shown = (await person.http.get(keys_path(client))).json()["keys"]
    async with serving_registry(registry.stores, {"THROTTLE": "off"}) as replica:
        signing = await live_keys(replica.resources, client.client_id)
    assert [(key.version, key.secret, key.public_key, key.ends_on) for key in signing] == [
        tuple(key.values()) for key in shown
    ]


async def test_a_rotation_overlaps_as_announced(registry: Registry) -> None:
    """The new keys, then the old with their end; a further rotation ends those at once."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    (first,) = (await person.http.get(keys_path(client))).json()["keys"]
    before = registry.resources.clock.now()
    answer = await rotate(person, client, DAY)
    new, old = answer.json()["keys"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert (new["version"], new["endsOn"]) == (2, None)
    assert {**old, "endsOn": None} == first
    assert before + DAY * 1000 <= old["endsOn"] <= registry.resources.clock.now() + DAY * 1000
    assert (await person.http.get(keys_path(client))).json() == answer.json()
    assert versions(await rotate(person, client, DAY, **{"Idempotency-Key": "another"})) == [3, 2]
    assert versions(await rotate(person, client, 0, **{"Idempotency-Key": "third"})) == [4]


async def test_a_retried_rotation_does_no_harm(registry: Registry) -> None:
    """Sent again, or several at once, after a lost answer: the keys that receivers have still sign."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    answers = await asyncio.gather(*(rotate(person, client, DAY) for _ in range(4)))
    assert [versions(answer) for answer in answers] == [[2, 1]] * 4
    assert len({answer.text for answer in answers}) == 1
    again = await rotate(person, client, DAY)
    assert again.text == answers[0].text
    lines = await registry.sql(
        "SELECT actor FROM auth.audit WHERE action = 'client.webhook-keys-rotated' AND subject = $1",
        f"client:{client.client_id}",
    )
    assert [line["actor"] for line in lines] == [f"user:{person.user_id}"]


async def test_new_keys_that_were_seen_can_be_replaced_at_once(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another overlap is another rotation, however soon. Then the old ones sign nowhere, be a process's clock behind or put back."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    assert versions(await rotate(person, client, DAY)) == [2, 1]
    assert versions(await rotate(person, client, 0)) == [3]
    now = registry.resources.clock.now
    monkeypatch.setattr(registry.resources.clock, "now", lambda: now() - 60_000)
    assert [key.version for key in await live_keys(registry.resources, client.client_id)] == [3]


@pytest.mark.parametrize("overlap", [-1, 604_801, "60", 1.5, None, True, 10**30])
async def test_overlaps_outside_the_rule_are_400(registry: Registry, overlap: object) -> None:
    """Whole seconds from 0 to 604800."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    answer = await rotate(person, client, overlap)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "overlapSeconds"
    assert versions(await person.http.get(keys_path(client))) == [1]


async def test_nobody_else_sees_or_rotates_them(registry: Registry) -> None:
    """404 to other authors as for a client that does not exist, 401 without a session, 403 from another origin."""
    author, other = await registry.site.sign_up(), await registry.site.sign_up()
    client = await author.create_client()
    unknown = Client({**client.document, "clientID": "CI" + "0" * 30})
    for person, asked in ((other, client), (author, unknown)):
        assert (await person.http.get(keys_path(asked))).status_code == 404
        assert (await rotate(person, asked, 0)).status_code == 404
    stranger = await registry.site.visitor()
    assert (await stranger.http.get(keys_path(client))).status_code == 401
    assert (await rotate(stranger, client, 0)).status_code == 401
    assert (await rotate(author, client, 0, Origin="https://evil.example")).status_code == 403
    assert versions(await author.http.get(keys_path(client))) == [1]


async def test_nothing_secret_is_kept(registry: Registry) -> None:
    """No column of the schema holds either key, nor what they are made of."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    shown: list[dict[str, Any]] = (await rotate(person, client, DAY)).json()["keys"]
    tables = await registry.sql(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'auth'"
    )
    rows = [
        str(row)
        for table in tables
        for row in await registry.sql(f"SELECT * FROM auth.{table['table_name']}")
    ]
    assert any(client.client_id in row for row in rows)
    for key in shown:
        derived = derive_key(registry.resources.settings.secret, client.client_id, key["version"], None)
        forms = {key["secret"][6:], b64decode(key["secret"][6:]).hex(), derived.ed25519_seed.hex()}
        assert not [row for row in rows if any(form in row for form in forms)]


async def test_the_keys_of_a_deleted_client_sign_on(registry: Registry) -> None:
    """What was on its way when it was deleted is signed with the keys that its receiver has."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    await rotate(person, client, DAY)
    before = await live_keys(registry.resources, client.client_id)
    await delete_client(registry.resources, person.user_id, client.client_id)
    assert await live_keys(registry.resources, client.client_id) == before
    assert (await person.http.get(keys_path(client))).status_code == 404


async def test_while_the_servers_secret_rotates_both_sign(start_registry: RegistryStarter) -> None:
    """Receivers know the keys of the old secret until it is taken away; the new ones are first in the list."""
    old, new = "o" * 32, "n" * 32
    async with start_registry(SECRET=old) as registry:
        person = await registry.site.sign_up()
        client = await person.create_client()
        (known,) = (await person.http.get(keys_path(client))).json()["keys"]
        async with serving_registry(registry.stores, {"SECRET": f"{new},{old}"}) as both:
            keys = await live_keys(both.resources, client.client_id)
            assert (len(keys), keys[1].secret) == (2, known["secret"])
        async with serving_registry(registry.stores, {"SECRET": new}) as later:
            (only,) = await live_keys(later.resources, client.client_id)
        assert only == keys[0]


async def test_versions_of_clients_that_are_gone_are_forgotten(registry: Registry) -> None:
    """Thirty days after the last rotation, once nothing is left to be sent; those of living clients stay."""
    person = await registry.site.sign_up()
    clients = [await person.create_client() for _ in range(3)]
    for client in clients:
        await rotate(person, client, 0)
    _, gone, sending = (client.client_id for client in clients)
    for client_id in (gone, sending):
        await delete_client(registry.resources, person.user_id, client_id)
    await registry.sql("INSERT INTO auth.webhook_endpoints (client_id, deleted_on) VALUES ($1, 1)", sending)
    database = registry.resources.database
    purge = Purge(database, {"purge_webhook_versions": KEPT_VERSION_DAYS})
    assert await purge.purge() == 0
    await registry.sql(
        "UPDATE auth.webhook_versions SET created_on = created_on - 31 * 86400000::bigint WHERE client_id = ANY ($1)",
        [client.client_id for client in clients],
    )
    before = await live_keys(registry.resources, sending)
    assert await purge.purge() == 1
    kept = [(await live_keys(registry.resources, client.client_id))[0].version for client in clients]
    assert kept == [2, 1, 2]
    assert await live_keys(registry.resources, sending) == before
