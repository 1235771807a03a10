"""Connected apps over HTTP (interface §3, abuse cases 54, 55)."""

from __future__ import annotations

import asyncio

from services.auth_api.accounts.administration import disable_user, enable_user
from services.auth_api.grants.store import find_grant, record_grant
from shared.bus import Bus
from shared.contracts.access import Access, ReadAccess, RevokeAccess, RevokeOwnKey
from shared.secret_tokens import digest_of
from tests.harness.buses import started
from tests.integration.auth_api.conftest import Registry, serving_registry

MEMBERS = [
    "clientID",
    "name",
    "authorName",
    "homepage",
    "permissions",
    "firstGrantedOn",
    "lastUsedOn",
    "keys",
]


async def test_apps_are_what_holds_a_key_or_a_grant(registry: Registry) -> None:
    """A client appears with its first consent, counts its live keys, and stays while the grant does."""
    author, person = await registry.site.sign_up(), await registry.site.sign_up()
    client = await author.create_client(homepage="https://example.com")
    assert (await person.http.get("/api/v1/apps")).json() == []
    await person.create_code(client)
    (app,) = (await person.http.get("/api/v1/apps")).json()
    assert list(app) == MEMBERS
    assert app | {"firstGrantedOn": 0} == {
        "clientID": client.client_id,
        "name": "Epic Games",
        "authorName": author.username,
        "homepage": "https://example.com",
        "permissions": ["customise_score"],
        "firstGrantedOn": 0,
        "lastUsedOn": None,
        "keys": 0,
    }
    await person.give_key(client)
    key = await person.give_key(client)
    # An exchanged key counts once its delivery is confirmed, a moment after the answer.
    async with asyncio.timeout(5):
        while (await person.http.get("/api/v1/apps")).json()[0]["keys"] != 2:
            await asyncio.sleep(0.02)
    assert (await person.http.delete(f"/api/v1/keys/{key['keyID']}")).status_code == 204
    assert (await person.http.get("/api/v1/apps")).json()[0]["keys"] == 1
    assert (await author.http.get("/api/v1/apps")).json() == []


async def test_ac_54_disconnecting_ends_everything_on_every_replica(registry: Registry) -> None:
    """204: keys cached by two replicas, an unredeemed code and the grant are dead within a second."""
    author, person = await registry.site.sign_up(), await registry.site.sign_up()
    client = await author.create_client()
    other = await author.create_client(name="Another")
    token = (await person.give_key(client))["access_token"]
    kept = (await person.give_key(other))["access_token"]
    authors = (await author.give_key(client))["access_token"]
    code = await person.create_code(client)
    async with serving_registry(registry.stores, {"THROTTLE": "off"}) as replica:
        for each in (registry, replica):
            assert (await each.issuer.verify(token)).status_code == 200
        assert (await person.http.delete(f"/api/v1/apps/{client.client_id}")).status_code == 204
        await asyncio.sleep(1)
        for each in (registry, replica):
            assert (await each.issuer.verify(token)).status_code == 401
            assert (await each.issuer.verify(kept)).status_code == 200
            assert (await each.issuer.verify(authors)).status_code == 200
        answer = await replica.site.exchange(client, code)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert await find_grant(registry.resources, person.user_id, client.client_id) is None
    apps = (await person.http.get("/api/v1/apps")).json()
    assert [app["clientID"] for app in apps] == [other.client_id]
    assert (await person.http.delete(f"/api/v1/apps/{client.client_id}")).status_code == 204


async def test_a_new_consent_after_a_disconnection_works(registry: Registry) -> None:
    """What is given again is not dead."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    await person.give_key(client)
    await person.http.delete(f"/api/v1/apps/{client.client_id}")
    token = (await person.give_key(client))["access_token"]
    assert (await registry.issuer.verify(token)).status_code == 200


async def test_unknown_apps_are_404(registry: Registry) -> None:
    """There is nothing to disconnect from a client that does not exist."""
    person = await registry.site.sign_up()
    for client_id in ("lkc_0000000000000000", "x", "%00"):
        assert (await person.http.delete(f"/api/v1/apps/{client_id}")).status_code == 404


async def test_a_consent_dated_by_a_faster_clock_ends_too(registry: Registry) -> None:
    """A grant that another replica dated a minute ahead does not survive the disconnection."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    ahead = registry.resources.clock.now() + 60_000
    await record_grant(registry.resources, person.user_id, client.client_id, ["customise_score"], ahead)
    await person.http.delete(f"/api/v1/apps/{client.client_id}")
    rows = await registry.sql(
        "SELECT convert_from(body, 'UTF8')::jsonb ->> 'before' AS before FROM auth.outbox ORDER BY id DESC LIMIT 1"
    )
    assert int(rows[0]["before"]) == ahead


async def test_grants_add_up(registry: Registry) -> None:
    """A second consent adds to the first and moves its time, not its beginning."""
    person = await registry.site.sign_up()
    client = await person.create_client(requestedPermissions=["submit_score", "delete_score"])
    for now, name in ((1000, "submit_score"), (2000, "delete_score"), (1500, "submit_score")):
        assert await record_grant(registry.resources, person.user_id, client.client_id, [name], now)
    grant = await find_grant(registry.resources, person.user_id, client.client_id)
    assert grant is not None
    assert set(grant.permissions) == {"submit_score", "delete_score"}
    assert (grant.first_granted_on, grant.granted_on) == (1000, 2000)


async def test_ac_55_a_disabled_account_is_dead_in_every_way(registry: Registry) -> None:
    """Sessions, keys and codes end at once, and nothing can be given; enabled again, only signing in comes back."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    token = (await person.give_key(client))["access_token"]
    personal = (await person.create_key("Mine", ["submit_score"]))["token"]
    code = await person.create_code(client)
    await disable_user(registry.resources, person.username.upper())
    assert (await person.http.get("/api/v1/session")).status_code == 401
    assert (await person.sign_in(person.username)).status_code == 401
    assert (await person.http.get("/api/v1/keys")).status_code == 401
    await asyncio.sleep(1)
    for key in (token, personal):
        assert (await registry.issuer.verify(key)).status_code == 401
    assert (await registry.site.exchange(client, code)).json()["error"] == "invalid_grant"
    now = registry.resources.clock.now()
    assert not await record_grant(registry.resources, person.user_id, client.client_id, ["x"], now)
    await enable_user(registry.resources, person.username)
    assert (await person.http.get("/api/v1/session")).status_code == 401
    assert (await person.sign_in(person.username)).status_code == 200
    assert (await registry.issuer.verify(token)).status_code == 401
    again = (await person.create_key("Again", ["submit_score"]))["token"]
    assert (await registry.issuer.verify(again)).status_code == 200


async def test_pages_see_the_same_over_the_bus(registry: Registry) -> None:
    """`access.read` and `access.revoke` answer as the endpoints do, with the person; a signed-out one gets nothing."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    await person.give_key(client)
    own = await person.create_key("Mine", ["submit_score"])
    session = digest_of(person.http.cookies["latchkey_session"])
    async with started(
        Bus(registry.stores.redis_url, source="consent_ui", clock=registry.resources.clock)
    ) as bus:
        async with asyncio.timeout(5):
            while [app.keys for app in (await bus.request(ReadAccess(session=session))).apps] != [1]:
                await asyncio.sleep(0.02)
        access = await bus.request(ReadAccess(session=session))
        assert access.user is not None
        assert access.user.user_id == person.user_id
        assert [key.client_id for key in access.keys] == [None, client.client_id]
        assert await bus.request(ReadAccess(session="0" * 64)) == Access()
        for whose, which, outcome in (
            ("0" * 64, client.client_id, "not_found"),
            (session, "x", "not_found"),
            (session, client.client_id, "done"),
        ):
            answer = await bus.request(RevokeAccess(session=whose, client_id=which))
            assert answer.outcome == outcome
        access = await bus.request(ReadAccess(session=session))
        assert access.apps == ()
        assert [key.status for key in access.keys] == ["active", "revoked"]
        revoked = await bus.request(RevokeOwnKey(session=session, key_id=own["keyID"]))
        assert revoked.changed is not None
        assert revoked.changed.outcome == "done"
        assert (await registry.issuer.verify(own["token"])).status_code == 401


async def test_everything_is_revoked_however_much_there_is(registry: Registry) -> None:
    """260 keys, of which no list shows more than 200, and a code that waits: one command ends them all."""
    person, other = await registry.site.sign_up(), await registry.site.sign_up()
    client = await person.create_client()
    names = [f"Key {number} {'é' * 70}" for number in range(260)]
    mine = [(await person.create_key(name, ["submit_score"]))["token"] for name in names]
    given = (await person.give_key(client))["access_token"]
    code = await person.create_code(client)
    others = (await other.give_key(client))["access_token"]
    session = digest_of(person.http.cookies["latchkey_session"])
    async with started(
        Bus(registry.stores.redis_url, source="consent_ui", clock=registry.resources.clock)
    ) as bus:
        listed = (await bus.request(ReadAccess(session=session))).keys
        assert [key.identifier for key in listed if key.client_id is None][:100] == names[:-101:-1]
        assert (await bus.request(RevokeAccess(session=session))).outcome == "done"
        assert (await bus.request(ReadAccess(session=session))).apps == ()
    statuses = {(await registry.issuer.verify(token)).status_code for token in (*mine, given)}
    assert statuses == {401}
    assert (await registry.site.exchange(client, code)).json()["error"] == "invalid_grant"
    assert (await registry.issuer.verify(others)).status_code == 200
    again = (await person.create_key("Again", ["submit_score"]))["token"]
    assert (await registry.issuer.verify(again)).status_code == 200
