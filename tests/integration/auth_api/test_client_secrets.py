"""The secret of a client over HTTP: shown once, kept as a digest, replaced with an overlap (abuse case 15)."""

from __future__ import annotations

import asyncio

import pytest

from shared.secret_tokens import digest_of
from tests.integration.auth_api.conftest import Registry, serving_registry


async def authenticates(registry: Registry, client_id: str, secret: str) -> bool:
    """Whether the token endpoint knows the client by this secret (a made-up code is then `invalid_grant`)."""
    answer = await registry.site.http.post(
        "/api/v1/oauth/token",
        data={"grant_type": "authorization_code", "code": "none"},
        auth=(client_id, secret),
    )
    error = answer.json()["error"]
    assert error in ("invalid_grant", "invalid_client")
    return bool(error == "invalid_grant")


async def test_ac_15_a_reset_secret_overlaps_as_announced(registry: Registry) -> None:
    """With an overlap both secrets work; without one the old is dead within a second, on every replica."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    path = f"/api/v1/clients/{client.client_id}/reset-secret"
    assert client.secret is not None
    async with serving_registry(registry.stores, {"THROTTLE": "off"}) as replica:
        assert await authenticates(replica, client.client_id, client.secret)
        answer = await person.http.post(path, json={"overlapSeconds": 60})
        second = answer.json()["clientSecret"]
        assert (answer.status_code, list(answer.json())) == (200, list(client.document))
        await asyncio.sleep(1)
        assert await authenticates(replica, client.client_id, client.secret)
        assert await authenticates(replica, client.client_id, second)
        third = (await person.http.post(path, json={"overlapSeconds": 0})).json()["clientSecret"]
        await asyncio.sleep(1)
        for each in (registry, replica):
            assert not await authenticates(each, client.client_id, client.secret)
            assert not await authenticates(each, client.client_id, second)
            assert await authenticates(each, client.client_id, third)


@pytest.mark.parametrize("overlap", [-1, 604_801, "60", 1.5, None, True, 10**30])
async def test_overlaps_outside_the_rule_are_400(registry: Registry, overlap: object) -> None:
    """Whole seconds from 0 to 604800."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    path = f"/api/v1/clients/{client.client_id}/reset-secret"
    answer = await person.http.post(path, json={"overlapSeconds": overlap})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "overlapSeconds"


async def test_a_public_client_has_no_secret_to_reset(registry: Registry) -> None:
    """409."""
    person = await registry.site.sign_up()
    client = await person.create_client(public=True)
    answer = await person.http.post(f"/api/v1/clients/{client.client_id}/reset-secret", json={})
    assert answer.status_code == 409


async def test_only_digests_of_client_secrets_are_kept(registry: Registry) -> None:
    """The row holds the digest, no column the secret."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    assert client.secret is not None
    rows = await registry.sql("SELECT * FROM auth.clients WHERE client_id = $1", client.client_id)
    assert rows[0]["secret_digest"] == digest_of(client.secret)
    assert client.secret not in str(rows)
