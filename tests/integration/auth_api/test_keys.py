"""A person's keys over HTTP (interface §3, abuse cases 44, 45, 53)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.harness.site import Person
from tests.integration.auth_api.conftest import Registry, RegistryStarter

MEMBERS = [
    "keyID",
    "identifier",
    "permissions",
    "fromAPIClient",
    "createdOn",
    "lastUsedOn",
    "expiresOn",
    "status",
]
UNKNOWN = "0" * 16


async def keys_of(person: Person) -> list[dict[str, Any]]:
    """`GET /api/v1/keys`."""
    answer = await person.http.get("/api/v1/keys")
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()
    return found


async def refused_everywhere(registry: Registry, token: str) -> bool:
    """Whether the key is refused within a second."""
    for _ in range(100):
        if (await registry.issuer.verify(token)).status_code == 401:
            return True
        await asyncio.sleep(0.01)
    return False


async def test_a_personal_key_is_shown_once_and_listed(registry: Registry) -> None:
    """201 with the documented members and the token; the list has it at once, without the token."""
    person = await registry.site.sign_up()
    made = await person.create_key("My laptop", ["submit_score", "customise_score"])
    token = made.pop("token")
    assert list(made) == MEMBERS
    assert token.startswith("lku_")
    assert made | {"keyID": 0, "createdOn": 0} == {
        "keyID": 0,
        "identifier": "My laptop",
        "permissions": ["submit_score", "customise_score"],
        "fromAPIClient": None,
        "createdOn": 0,
        "lastUsedOn": None,
        "expiresOn": None,
        "status": "active",
    }
    assert await keys_of(person) == [made]
    checked = await registry.issuer.verify(token, "submit_score")
    assert checked.headers["X-Latchkey-User"] == str(person.user_id)
    assert checked.headers["X-Latchkey-Username"] == person.username


@pytest.mark.spec("RFC 8288", "3", "Link: <the next page>; rel=next")
async def test_no_key_is_hidden_behind_the_first_page(registry: Registry) -> None:
    """Whoever follows `Link` sees all of 205 keys, newest first; the last page has none."""
    person, other = await registry.site.sign_up(), await registry.site.sign_up()
    made = [(await person.create_key(str(number), ["submit_score"]))["keyID"] for number in range(205)]
    first = await person.http.get("/api/v1/keys")
    link = first.links["next"]["url"]
    assert link == f"{registry.site.url}/api/v1/keys?cursor={first.json()[-1]['keyID']}"
    second = await person.http.get(link)
    assert (len(first.json()), len(second.json()), second.links) == (200, 5, {})
    assert [key["keyID"] for key in first.json() + second.json()] == made[::-1]
    for query in (f"cursor={UNKNOWN}", "cursor=x", "cursor=a&cursor=b", f"cursor={made[0]}x"):
        answer = await person.http.get(f"/api/v1/keys?{query}")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "cursor")
    assert (await other.http.get(link)).status_code == 400


async def test_an_account_has_so_many_keys_of_its_own_and_no_more(start_registry: RegistryStarter) -> None:
    """KEYS_PER_USER at once succeed and the rest are 409, also by an overlap; an end makes room; apps have their own."""
    async with start_registry(KEYS_PER_USER="3") as registry:
        person, other = await registry.site.sign_up(), await registry.site.sign_up()
        body = {"identifier": "x", "permissions": ["submit_score"]}
        answers = await asyncio.gather(*(person.http.post("/api/v1/keys", json=body) for _ in range(8)))
        assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 5
        first, second, third = await keys_of(person)
        path = f"/api/v1/keys/{first['keyID']}"
        for overlap, status in ((60, 409), (0, 200)):
            answer = await person.http.post(f"{path}/rotate", json={"overlapSeconds": overlap})
            assert answer.status_code == status
        assert (await person.http.post("/api/v1/keys", json=body)).status_code == 409
        client = await other.create_client()
        assert (
            await person.http.post("/api/v1/keys", json={"clientID": client.client_id})
        ).status_code == 201
        assert (await other.http.post("/api/v1/keys", json=body)).status_code == 201
        assert (await person.http.delete(f"/api/v1/keys/{second['keyID']}")).status_code == 204
        sooner = {"expiresOn": third["createdOn"]}
        assert (await person.http.patch(f"/api/v1/keys/{third['keyID']}", json=sooner)).status_code == 200
        made = [(await person.http.post("/api/v1/keys", json=body)).status_code for _ in range(3)]
        assert made == [201, 201, 409]


async def test_a_key_may_expire(registry: Registry) -> None:
    """`expiresIn` is in seconds from now."""
    person = await registry.site.sign_up()
    made = await person.create_key("Short", ["submit_score"], expiresIn=3600)
    assert (
        made["expiresOn"] == made["createdOn"] + 3_600_000
        or abs(made["expiresOn"] - made["createdOn"] - 3_600_000) < 5_000
    )


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"permissions": ["submit_score"]}, "identifier"),
    ({"identifier": "x"}, "permissions"),
    ({"identifier": "", "permissions": ["submit_score"]}, "identifier"),
    ({"identifier": "  ", "permissions": ["submit_score"]}, "identifier"),
    ({"identifier": "x" * 81, "permissions": ["submit_score"]}, "identifier"),
    ({"identifier": "a\u202eb", "permissions": ["submit_score"]}, "identifier"),
    ({"identifier": "x", "permissions": []}, "permissions"),
    ({"identifier": "x", "permissions": ["nope"]}, "permissions.0"),
    ({"identifier": "x", "permissions": "submit_score"}, "permissions"),
    ({"identifier": "x", "permissions": ["submit_score"], "expiresIn": 0}, "expiresIn"),
    ({"identifier": "x", "permissions": ["submit_score"], "expiresIn": "60"}, "expiresIn"),
    ({"identifier": "x", "permissions": ["submit_score"], "expiresIn": 10**20}, "expiresIn"),
    ({"identifier": "x", "permissions": ["submit_score"], "userID": 1}, "userID"),
    ({"clientID": "x", "permissions": ["submit_score"]}, "permissions"),
    ({"clientID": 7}, "clientID"),
]


async def test_wrong_bodies_are_400_by_name(registry: Registry) -> None:
    """Nothing is made, and the field is named."""
    person = await registry.site.sign_up()
    for body, field in WRONG:
        answer = await person.http.post("/api/v1/keys", json=body)
        assert answer.status_code == 400, body
        assert [error["field"] for error in answer.json()["errors"]] == [field], body
    assert await keys_of(person) == []


async def test_a_key_for_a_client_comes_with_its_file(registry: Registry) -> None:
    """201 with the file that the client's template makes; the client is connected."""
    author, person = await registry.site.sign_up(), await registry.site.sign_up()
    client = await author.create_client(apiKeyFormat='{"k": "%%API_KEY%%"}', apiKeyFilename="k.json")
    answer = await person.http.post("/api/v1/keys", json={"clientID": client.client_id})
    document = answer.json()
    assert answer.status_code == 201
    assert list(document) == [*MEMBERS, "token", "file"]
    assert document["fromAPIClient"] == client.client_id
    assert document["identifier"] == "Epic Games"
    assert document["permissions"] == ["customise_score"]
    assert document["file"]["filename"] == "k.json"
    assert json.loads(document["file"]["content"]) == {"k": document["token"]}
    checked = await registry.issuer.verify(document["token"])
    assert checked.headers["X-Latchkey-Client"] == client.client_id
    apps = (await person.http.get("/api/v1/apps")).json()
    assert [app["clientID"] for app in apps] == [client.client_id]


async def test_a_key_for_an_unknown_client_is_404(registry: Registry) -> None:
    """And none is made."""
    person = await registry.site.sign_up()
    answer = await person.http.post("/api/v1/keys", json={"clientID": "lkc_0000000000000000"})
    assert answer.status_code == 404
    assert await keys_of(person) == []


async def test_ac_45_no_read_makes_a_key(registry: Registry) -> None:
    """GET and HEAD with everything in the query change nothing; other methods are 405 with Allow."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    query = {
        "clientID": client.client_id,
        "identifier": "x",
        "permissions": "submit_score",
        "_method": "POST",
    }
    for method in ("GET", "HEAD"):
        await person.http.request(
            method, "/api/v1/keys", params=query, headers={"X-HTTP-Method-Override": "POST"}
        )
    answer = await person.http.put("/api/v1/keys", json={})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET,HEAD,POST")
    assert await keys_of(person) == []


async def test_a_key_can_be_turned_down(registry: Registry) -> None:
    """Renamed, paused, resumed, narrowed and expired sooner; each is in force within a second."""
    person = await registry.site.sign_up()
    made = await person.create_key("Old", ["submit_score", "delete_score"], expiresIn=7200)
    token, path = made["token"], f"/api/v1/keys/{made['keyID']}"
    renamed = (await person.http.patch(path, json={"identifier": "New"})).json()
    assert (list(renamed), renamed["identifier"], renamed["status"]) == (MEMBERS, "New", "active")
    paused = (await person.http.patch(path, json={"status": "paused"})).json()
    assert paused["status"] == "paused"
    assert await refused_everywhere(registry, token)
    assert (await person.http.patch(path, json={"status": "active"})).json()["status"] == "active"
    narrowed = (await person.http.patch(path, json={"permissions": ["submit_score"]})).json()
    assert narrowed["permissions"] == ["submit_score"]
    sooner = narrowed["expiresOn"] - 1000
    assert (await person.http.patch(path, json={"expiresOn": sooner})).json()["expiresOn"] == sooner
    assert (await person.http.patch(path, json={})).json()["expiresOn"] == sooner


TURNED_UP: list[tuple[dict[str, Any], str]] = [
    ({"permissions": ["submit_score", "delete_score"]}, "permissions"),
    ({"permissions": []}, "permissions"),
    ({"permissions": ["nope"]}, "permissions"),
    ({"permissions": None}, "permissions"),
    ({"expiresOn": 2**53 - 1}, "expiresOn"),
    ({"expiresOn": None}, "expiresOn"),
    ({"expiresOn": "1"}, "expiresOn"),
    ({"expiresOn": 10**30}, "expiresOn"),
    ({"status": "revoked"}, "status"),
    ({"status": None}, "status"),
    ({"identifier": ""}, "identifier"),
    ({"identifier": None}, "identifier"),
    ({"userID": 1}, "userID"),
    ({"token": "x"}, "token"),
]


async def test_a_key_cannot_be_turned_up(registry: Registry) -> None:
    """More permissions, a later expiry, other states, unknown fields: 400 by name, and the key stays as it is."""
    person = await registry.site.sign_up()
    made = await person.create_key("Key", ["submit_score"], expiresIn=3600)
    token = made.pop("token")
    for change, field in TURNED_UP:
        answer = await person.http.patch(f"/api/v1/keys/{made['keyID']}", json=change)
        assert answer.status_code == 400, change
        assert [error["field"] for error in answer.json()["errors"]] == [field], change
        assert await keys_of(person) == [made], change
    assert (await registry.issuer.verify(token)).status_code == 200


async def test_a_revoked_key_is_dead_and_stays_listed(registry: Registry) -> None:
    """204, again 204, refused within a second, listed as revoked, and no longer changeable (409)."""
    person = await registry.site.sign_up()
    made = await person.create_key("Gone", ["submit_score"])
    path = f"/api/v1/keys/{made['keyID']}"
    assert (await registry.issuer.verify(made["token"])).status_code == 200
    assert (await person.http.delete(path)).status_code == 204
    assert await refused_everywhere(registry, made["token"])
    assert (await person.http.delete(path)).status_code == 204
    assert [key["status"] for key in await keys_of(person)] == ["revoked"]
    assert (await person.http.patch(path, json={"status": "active"})).status_code == 409
    assert (await person.http.post(f"{path}/rotate", json={"overlapSeconds": 0})).status_code == 409


async def test_a_rotated_key_overlaps_as_asked(registry: Registry) -> None:
    """The new key works at once; the old one until the overlap ends, with 0 no longer."""
    person = await registry.site.sign_up()
    made = await person.create_key("Rotating", ["submit_score"])
    answer = await person.http.post(f"/api/v1/keys/{made['keyID']}/rotate", json={"overlapSeconds": 60})
    second = answer.json()
    assert (answer.status_code, list(second)) == (200, [*MEMBERS, "token"])
    assert second["keyID"] != made["keyID"]
    assert second["permissions"] == made["permissions"]
    for token in (made["token"], second["token"]):
        assert (await registry.issuer.verify(token)).status_code == 200
    third = (
        await person.http.post(f"/api/v1/keys/{second['keyID']}/rotate", json={"overlapSeconds": 0})
    ).json()
    assert await refused_everywhere(registry, second["token"])
    assert (await registry.issuer.verify(third["token"])).status_code == 200
    for overlap in (-1, 604_801, "1", None):
        refused = await person.http.post(
            f"/api/v1/keys/{third['keyID']}/rotate", json={"overlapSeconds": overlap}
        )
        assert refused.json()["errors"][0]["field"] == "overlapSeconds"


async def test_ac_53_other_peoples_keys_look_unknown(registry: Registry) -> None:
    """Another person's key, an unknown and a malformed id: 404 with the same words, and nothing changes."""
    owner, other = await registry.site.sign_up(), await registry.site.sign_up()
    made = await owner.create_key("Mine", ["submit_score"])

    async def tries(key_id: str) -> list[httpx.Response]:
        path = f"/api/v1/keys/{key_id}"
        return [
            await other.http.patch(path, json={"identifier": "Yours", "status": "paused"}),
            await other.http.delete(path),
            await other.http.post(f"{path}/rotate", json={"overlapSeconds": 0}),
        ]

    seen = set()
    for key_id in (made["keyID"], UNKNOWN, made["keyID"].lower() + "x", "%00", "'--", made["keyID"] + "%20"):
        seen |= {(answer.status_code, answer.json()["detail"]) for answer in await tries(key_id)}
    assert len(seen) == 1
    assert seen.pop()[0] == 404
    assert await keys_of(other) == []
    assert (await keys_of(owner))[0]["identifier"] == "Mine"
    assert (await registry.issuer.verify(made["token"])).status_code == 200


async def test_signed_out_and_foreign_requests_change_nothing(registry: Registry) -> None:
    """401 without a cookie, 403 from another site."""
    person = await registry.site.sign_up()
    made = await person.create_key("Key", ["submit_score"])
    path = f"/api/v1/keys/{made['keyID']}"
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/api/v1/keys", {"identifier": "x", "permissions": ["submit_score"]}),
        ("PATCH", path, {"status": "paused"}),
        ("DELETE", path, None),
        ("POST", f"{path}/rotate", {"overlapSeconds": 0}),
        ("DELETE", "/api/v1/apps/x", None),
    ]
    for method, target, body in requests:
        assert (await registry.site.http.request(method, target, json=body)).status_code == 401
        foreign = await person.http.request(
            method, target, json=body, headers={"Origin": "https://evil.example"}
        )
        assert foreign.status_code == 403
    for target in ("/api/v1/keys", "/api/v1/apps"):
        assert (await registry.site.http.get(target)).status_code == 401
    assert [key["status"] for key in await keys_of(person)] == ["active"]


async def test_no_key_is_kept_in_clear(registry: Registry) -> None:
    """Neither PostgreSQL nor Redis holds a token that was made here."""
    person = await registry.site.sign_up()
    token = (await person.create_key("Marked", ["submit_score"]))["token"]
    secret = token.rsplit("_", 1)[1][:43]
    rows = await registry.sql("SELECT * FROM keys.api_keys WHERE user_id = $1", person.user_id)
    outbox = await registry.sql("SELECT convert_from(body, 'UTF8') AS body FROM keys.outbox")
    assert secret not in str(rows) + str(outbox)
    redis = registry.resources.bus.redis
    for name in await redis.execute("KEYS", "*"):
        assert secret not in str(await redis.execute("DUMP", name))
