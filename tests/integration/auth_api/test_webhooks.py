"""Webhooks from end to end: something ends, and the client's program has heard of it (interface §5)."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from standardwebhooks import Webhook

from services.auth_api.accounts.administration import disable_user
from services.auth_api.grants.connected_apps import revoke_access
from services.auth_api.webhooks.keys import live_keys
from tests.harness.site import Client
from tests.harness.stores import Servers
from tests.harness.tls import Authority
from tests.harness.webhooks import Receiver
from tests.integration.auth_api.conftest import Registry, running_registry
from tests.integration.auth_api.test_external_endings import Desk
from tests.integration.auth_api.test_login_handoff import service_key


@pytest.fixture(scope="module")
async def desk(servers: Servers, authority: Authority) -> AsyncIterator[Desk]:
    """Services that may send to loopback, and the site's server."""
    async with running_registry(servers, THROTTLE="off", PRIVATE_TARGETS="on") as registry:
        yield Desk(registry, service_key(registry, "users"))


async def events(
    registry: Registry, receiver: Receiver, client: Client, number: int
) -> list[tuple[str, dict[str, Any]]]:
    """What was heard once it is so much, in an order of its own; each accepted by the published library."""
    heard = await receiver.wait_for(number)
    (key,) = await live_keys(registry.resources, client.client_id)
    for each in heard:
        Webhook(key.secret).verify(each.body, dict(each.headers))
    return sorted(((each.event["type"], each.event["data"]) for each in heard), key=str)


async def test_a_person_revokes_a_key(desk: Desk, receiver: Receiver) -> None:
    """The program hears which key of whom has ended and why."""
    registry = desk.registry
    person = await desk.person(name := secrets.token_hex(4))
    client = await (await registry.site.sign_up()).create_client(webhookUri=receiver.url)
    key = await person.give_key(client)
    assert (await person.http.delete(f"/api/v1/keys/{key['keyID']}")).status_code == 204
    ((kind, data),) = await events(registry, receiver, client, 1)
    assert kind == "key.revoked"
    assert data == {
        "keyID": key["keyID"],
        "userID": person.user_id,
        "externalUser": name,
        "clientID": client.client_id,
        "reason": "person",
    }


async def test_an_app_is_disconnected(desk: Desk, receiver: Receiver) -> None:
    """One for the grant, one for each key; again there is nothing to tell, nor of a person who never connected."""
    registry = desk.registry
    person, stranger = await registry.site.sign_up(), await registry.site.sign_up()
    client = await stranger.create_client(webhookUri=receiver.url)
    keys = [(await person.give_key(client))["keyID"] for _ in range(2)]
    for somebody in (person, person, stranger):
        assert (await somebody.http.delete(f"/api/v1/apps/{client.client_id}")).status_code == 204
    found = await events(registry, receiver, client, 3)
    common = {"userID": person.user_id, "clientID": client.client_id, "reason": "app_disconnected"}
    assert found[0] == ("grant.revoked", {"keyID": None, **common})
    assert [kind for kind, _ in found[1:]] == ["key.revoked"] * 2
    assert {data["keyID"] for _, data in found[1:]} == set(keys)
    assert [data | {"keyID": 0} for _, data in found] == [common | {"keyID": 0}] * 3
    assert list(receiver.heard[0].event["data"]) == ["keyID", "userID", "clientID", "reason"]


async def test_everything_revoked_looks_to_each_app_like_a_disconnection(
    desk: Desk, receiver: Receiver
) -> None:
    """Without saying so much about the person."""
    registry = desk.registry
    person = await registry.site.sign_up()
    clients = [await person.create_client(webhookUri=f"{receiver.url}/{number}") for number in range(2)]
    for client in clients:
        await person.create_code(client)
    await revoke_access(registry.resources, person.user_id)
    heard = await receiver.wait_for(2)
    told = {
        (each.event["type"], each.event["data"]["clientID"], each.event["data"]["reason"]) for each in heard
    }
    assert told == {("grant.revoked", client.client_id, "app_disconnected") for client in clients}


async def test_a_client_is_deleted(desk: Desk, receiver: Receiver) -> None:
    """Its last address hears of everybody's grants and keys."""
    registry = desk.registry
    author = await registry.site.sign_up()
    client = await author.create_client(webhookUri=receiver.url)
    people = [await registry.site.sign_up() for _ in range(2)]
    for person in people:
        await person.give_key(client)
    assert (await author.http.delete(f"/api/v1/clients/{client.client_id}")).status_code == 204
    found = await events(registry, receiver, client, 4)
    assert [kind for kind, _ in found] == ["grant.revoked"] * 2 + ["key.revoked"] * 2
    assert {data["reason"] for _, data in found} == {"client_deleted"}
    assert {data["userID"] for _, data in found} == {person.user_id for person in people}


async def test_people_end(desk: Desk, receiver: Receiver) -> None:
    """By the site or by the operator; of an account that is over already nothing more is told."""
    registry = desk.registry
    client = await (await registry.site.sign_up()).create_client(webhookUri=receiver.url)
    person, other = await desk.person(name := secrets.token_hex(4)), await registry.site.sign_up()
    for each in (person, other):
        await each.give_key(client)
    assert [await desk.end(name), await desk.end(name)] == [204, 204]
    for _ in range(2):
        await disable_user(registry.resources, other.username)
        await disable_user(registry.resources, person.username)
    found = await events(registry, receiver, client, 4)
    told = {(kind, data["userID"], data["reason"], data.get("externalUser")) for kind, data in found}
    assert told == {
        (kind, *of)
        for kind in ("grant.revoked", "key.revoked")
        for of in ((person.user_id, "user_ended", name), (other.user_id, "user_disabled", None))
    }
    assert len(receiver.heard) == 4


async def test_whatever_else_ends_or_narrows_a_key_is_told_with_its_reason(
    desk: Desk, receiver: Receiver
) -> None:
    """The program itself, a finder, a replay, too many keys, rotations with and without an overlap, a person who turns it down."""
    registry = desk.registry
    site, issuer = registry.site, registry.issuer
    client = await (await site.sign_up()).create_client(
        webhookUri=receiver.url, requestedPermissions=["customise_score", "submit_score"]
    )
    person, other = await site.sign_up(), await site.sign_up()
    given, leaked, rotated, turned, overlapped = [await person.give_key(client) for _ in range(5)]
    code = await person.create_code(client)
    replayed = (await site.exchange(client, code)).json()
    many = [await other.give_key(client) for _ in range(11)]
    now = registry.resources.clock.now

    def key(of: dict[str, Any], end: str = "") -> str:
        return f"/api/v1/keys/{of['keyID']}{end}"

    answers = [
        await site.http.post(
            "/api/v1/oauth/revoke", data={"token": given["access_token"]}, auth=client.basic
        ),
        await issuer.http.post("/api/v1/keys/report-leak", json={"token": leaked["access_token"]}),
        await person.http.post(key(rotated, "/rotate"), json={"overlapSeconds": 0}),
        await person.http.post(key(overlapped, "/rotate"), json={"overlapSeconds": 1}),
        await person.http.patch(key(turned), json={"permissions": ["submit_score"]}),
        await person.http.patch(key(turned), json={"status": "paused"}),
        await person.http.patch(key(turned), json={"status": "active", "identifier": "Mine"}),
        await person.http.patch(key(turned), json={"expiresOn": now() + 1_000}),
    ]
    assert all(answer.is_success for answer in answers), [answer.text for answer in answers]
    assert (await site.exchange(client, code)).status_code == 400
    told = {
        ("key.revoked", "client", given["keyID"]),
        ("key.revoked", "leak_reported", leaked["keyID"]),
        ("key.revoked", "rotated", rotated["keyID"]),
        ("key.narrowed", "rotated", overlapped["keyID"]),
        ("key.expired", "rotated", overlapped["keyID"]),
        ("key.narrowed", "permissions", turned["keyID"]),
        ("key.narrowed", "paused", turned["keyID"]),
        ("key.narrowed", "expiry", turned["keyID"]),
        ("key.expired", "expired", turned["keyID"]),
        ("key.revoked", "code_replayed", replayed["keyID"]),
        ("key.revoked", "evicted", many[0]["keyID"]),
    }
    found = await events(registry, receiver, client, len(told))
    assert {(kind, data["reason"], data["keyID"]) for kind, data in found} == told
    assert len(receiver.heard) == len(told)


async def test_how_long_it_took_is_measured(desk: Desk, receiver: Receiver) -> None:
    """From the event to the endpoint's success, and what else an operator watches."""
    registry = desk.registry
    person = await registry.site.sign_up()
    client = await person.create_client(webhookUri=receiver.url)
    key = await person.give_key(client)
    await person.http.delete(f"/api/v1/keys/{key['keyID']}")
    await receiver.wait_for(1)
    text = (await registry.site.http.get("/metrics")).text
    for name in (
        "webhook_delivery_seconds_count",
        'webhook_deliveries_total{outcome="dropped"}',
        "webhook_waiting",
        "webhook_oldest_seconds",
        "webhook_overdue_seconds",
        "webhook_disabled_endpoints",
    ):
        assert f"\nlatchkey_{name} " in text
