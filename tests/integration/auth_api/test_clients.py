"""The client registry over HTTP (interface §3, abuse cases 46, 51, 52, 54)."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from services.auth_api.clients.registry import UnknownAuthorError, create_client
from shared.contracts.clients import ClientFields
from shared.secret_tokens import digest_of
from tests.harness.site import CALLBACK, Client, Person
from tests.integration.auth_api.conftest import Registry, RegistryStarter

SEED = {"name": "Epic Games", "redirectUri": CALLBACK, "requestedPermissions": ["customise_score"]}
MEMBERS = [
    "clientID", "clientSecret", "name", "author", "redirectUri", "redirectUris", "requestedPermissions", "apiKeyFormat",
    "apiKeyFilename", "webhookUri", "homepage", "description", "public", "createdOn",
]  # fmt: skip


async def test_registering_answers_the_documented_object(registry: Registry) -> None:
    """201 with exactly the documented members, the secret among them, in their order."""
    person = await registry.site.sign_up()
    answer = await person.http.post("/api/v1/clients", json=SEED)
    document = answer.json()
    assert answer.status_code == 201
    assert list(document) == MEMBERS
    assert re.fullmatch(r"lkc_[0-9A-Za-z]{16}", document["clientID"])
    assert re.fullmatch(r"lkx_[0-9A-Za-z]{49}", document["clientSecret"])
    assert document | {"clientID": 0, "clientSecret": 0, "createdOn": 0} == {
        "clientID": 0,
        "clientSecret": 0,
        "name": "Epic Games",
        "author": person.user_id,
        "redirectUri": CALLBACK,
        "redirectUris": [CALLBACK],
        "requestedPermissions": ["customise_score"],
        "apiKeyFormat": None,
        "apiKeyFilename": None,
        "webhookUri": None,
        "homepage": None,
        "description": None,
        "public": False,
        "createdOn": 0,
    }
    assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")


async def test_every_field_is_kept_as_given(registry: Registry) -> None:
    """What was registered is read back equal."""
    person = await registry.site.sign_up()
    given: dict[str, Any] = {
        "name": "Full™ <b>",
        "redirectUris": [
            "https://a.example/cb;p=1?a=%2F&b=1+2&c=%7e&e=",
            "http://127.0.0.1/cb",
            "com.example.app:/cb",
        ],
        "requestedPermissions": ["submit_score", "delete_score"],
        "apiKeyFormat": '{"key": "%%TACHI_KEY%%"}\n',
        "apiKeyFilename": "key.json",
        "webhookUri": "https://hooks.example.com/x",
        "homepage": "https://example.com",
        "description": "Two\nlines.",
        "public": True,
    }
    client = await person.create_client(**given, redirectUri=given["redirectUris"][0])
    assert client.document["clientSecret"] is None
    assert {name: client.document[name] for name in given} == given
    own = (await person.http.get("/api/v1/clients")).json()
    assert own == [{name: client.document[name] for name in MEMBERS if name != "clientSecret"}]


async def test_anybody_may_read_the_public_view(registry: Registry) -> None:
    """The object without secret and webhook, without a cookie."""
    person = await registry.site.sign_up()
    client = await person.create_client(webhookUri="https://hooks.example.com/x")
    for http in (registry.site.http, person.http):
        answer = await http.get(f"/api/v1/clients/{client.client_id}")
        assert answer.status_code == 200
        expected = [name for name in MEMBERS if name not in ("clientSecret", "webhookUri")]
        assert answer.json() == {name: client.document[name] for name in expected}


@pytest.mark.parametrize(
    "client_id", ["lkc_0000000000000000", "x", "a" * 500, "%00", "%ff", "é", "..%2f..", "' OR 1=1"]
)
async def test_unknown_ids_are_404(registry: Registry, client_id: str) -> None:
    """Whatever the id looks like."""
    answer = await registry.site.http.get(f"/api/v1/clients/{client_id}")
    assert answer.status_code in (400, 404)
    assert "text/html" not in answer.headers["Content-Type"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "x"}, "name"),
    ({"name": None}, "name"),
    ({"name": 5}, "name"),
    ({"redirectUri": "javascript:alert(1)"}, "redirectUri"),
    ({"redirectUri": None, "redirectUris": ["https://e.com/cb", "http://e.com/cb"]}, "redirectUris.1"),
    ({"redirectUri": None, "redirectUris": "https://e.com"}, "redirectUris"),
    ({"redirectUris": ["https://other.example/cb"]}, "redirectUri"),
    ({"requestedPermissions": []}, "requestedPermissions"),
    ({"requestedPermissions": ["rule_the_world"]}, "requestedPermissions.0"),
    ({"requestedPermissions": "customise_score"}, "requestedPermissions"),
    ({"apiKeyFormat": "no placeholder"}, "apiKeyFormat"),
    ({"apiKeyFormat": '{"a": %%API_KEY%%}', "apiKeyFilename": "a.json"}, "apiKeyFormat"),
    ({"apiKeyFilename": "../x"}, "apiKeyFilename"),
    ({"apiKeyFilename": "a\r\nb"}, "apiKeyFilename"),
    ({"webhookUri": "http://127.0.0.1:6379"}, "webhookUri"),
    ({"homepage": "javascript:alert(1)"}, "homepage"),
    ({"description": "\u202e"}, "description"),
    ({"public": "yes"}, "public"),
    ({"author": 1}, "author"),
    ({"clientID": "CXFervidex"}, "clientID"),
    ({"clientSecret": "x"}, "clientSecret"),
    ({"createdOn": 1}, "createdOn"),
    ({"byOperator": True}, "byOperator"),
    ({"verified": True}, "verified"),
    ({"skip_consent": True}, "skip_consent"),
]


async def test_ac_51_wrong_and_unknown_fields_are_400_by_name(registry: Registry) -> None:
    """Nothing is registered, and `errors[]` names the field as it was given."""
    person = await registry.site.sign_up()
    for change, field in WRONG:
        answer = await person.http.post("/api/v1/clients", json={**SEED, **change})
        assert answer.status_code == 400, change
        assert [error["field"] for error in answer.json()["errors"]] == [field], change
    assert (await person.http.get("/api/v1/clients")).json() == []


async def test_changes_leave_everything_else_as_it_is(registry: Registry) -> None:
    """PATCH changes what is given, and null takes an optional value away."""
    person = await registry.site.sign_up()
    client = await person.create_client(homepage="https://example.com", description="Old")
    path = f"/api/v1/clients/{client.client_id}"
    answer = await person.http.patch(path, json={"description": "New", "homepage": None, "redirectUris": []})
    expected = {name: value for name, value in client.document.items() if name != "clientSecret"}
    expected |= {"description": "New", "homepage": None, "redirectUris": [], "redirectUri": None}
    assert (answer.status_code, answer.json()) == (200, expected)
    assert (await person.http.patch(path, json={})).json() == expected
    public = (await registry.site.http.get(path)).json()
    assert public["description"] == "New"
    for change in (
        {"requestedPermissions": ["submit_score"]},
        {"public": True},
        {"clientSecret": "x"},
        {"author": 1},
        {"clientID": "x"},
        {"name": None},
        {"name": "x"},
        {"redirectUri": "http://e.com/"},
    ):
        refused = await person.http.patch(path, json=change)
        assert refused.status_code == 400
        assert refused.json()["errors"][0]["field"] == next(iter(change))
    assert (await person.http.get("/api/v1/clients")).json() == [expected]


@pytest.mark.parametrize("field", ["redirectUri", "apiKeyFormat", "apiKeyFilename", "webhookUri", "homepage"])
async def test_an_empty_string_is_no_way_to_clear_a_field(registry: Registry, field: str) -> None:
    """`""` is a value that breaks the field's rule: 400 by name, and nothing is lost; `null` clears."""
    person = await registry.site.sign_up()
    given = {
        "redirectUri": CALLBACK,
        "apiKeyFormat": "key: %%API_KEY%%",
        "apiKeyFilename": "key.txt",
        "webhookUri": "https://hooks.example.com/x",
        "homepage": "https://example.com",
    }
    client = await person.create_client(**given)
    path = f"/api/v1/clients/{client.client_id}"
    registered = await person.http.post("/api/v1/clients", json={**SEED, field: ""})
    changed = await person.http.patch(path, json={field: ""})
    for answer in (registered, changed):
        assert answer.status_code == 400
        assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert [own[field] for own in (await person.http.get("/api/v1/clients")).json()] == [given[field]]
    cleared = await person.http.patch(path, json={field: None})
    assert (cleared.status_code, cleared.json()[field]) == (200, None)


async def test_the_names_of_our_code_are_unknown_outside(registry: Registry) -> None:
    """A field has its public name alone."""
    person = await registry.site.sign_up()
    answer = await person.http.post("/api/v1/clients", json={**SEED, "api_key_filename": "key.txt"})
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["api_key_filename"]


async def test_a_change_is_checked_with_what_stays(registry: Registry) -> None:
    """A file name that the kept template cannot keep is refused."""
    person = await registry.site.sign_up()
    client = await person.create_client(apiKeyFormat="key: %%API_KEY%%", apiKeyFilename="a.txt")
    answer = await person.http.patch(f"/api/v1/clients/{client.client_id}", json={"apiKeyFilename": "a.json"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "apiKeyFormat"


async def test_ac_52_other_peoples_clients_look_unknown(registry: Registry) -> None:
    """Change, reset and delete of another's client are 404 with the words of an unknown one; nothing changes."""
    owner, other = await registry.site.sign_up(), await registry.site.sign_up()
    client = await owner.create_client()
    assert (await other.http.get("/api/v1/clients")).json() == []

    async def refusals(client_id: str) -> list[tuple[int, str]]:
        path = f"/api/v1/clients/{client_id}"
        answers = [
            await other.http.patch(path, json={"name": "Mine now"}),
            await other.http.post(f"{path}/reset-secret", json={"overlapSeconds": 0}),
            await other.http.delete(path),
        ]
        return [(answer.status_code, answer.json()["detail"]) for answer in answers]

    foreign, unknown = await refusals(client.client_id), await refusals("lkc_0000000000000000")
    assert foreign == unknown
    assert {status for status, _ in foreign} == {404}
    assert (await owner.http.get("/api/v1/clients")).json()[0]["name"] == "Epic Games"
    for spelling in (
        client.client_id.upper(),
        f"%20{client.client_id}",
        f"urn:{client.client_id}",
        "%00",
        "a" * 99,
    ):
        assert {status for status, _ in await refusals(spelling)} == {404}


async def test_signed_out_and_foreign_requests_change_nothing(registry: Registry) -> None:
    """401 without a cookie; 403 with one from another site; the client stays as it is."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    path = f"/api/v1/clients/{client.client_id}"
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/api/v1/clients", SEED),
        ("PATCH", path, {"name": "Changed"}),
        ("POST", f"{path}/reset-secret", {}),
        ("DELETE", path, None),
    ]
    for method, target, body in requests:
        assert (await registry.site.http.request(method, target, json=body)).status_code == 401
        for origin in ("https://evil.example", "null", ""):
            answer = await person.http.request(method, target, json=body, headers={"Origin": origin})
            assert answer.status_code == 403
    assert (await registry.site.http.get("/api/v1/clients")).status_code == 401
    assert [own["name"] for own in (await person.http.get("/api/v1/clients")).json()] == ["Epic Games"]


async def test_an_account_has_so_many_clients_and_no_more(start_registry: RegistryStarter) -> None:
    """CLIENTS_PER_USER registrations at once succeed and the rest are 409; a deletion makes room."""
    async with start_registry(CLIENTS_PER_USER="3") as registry:
        person = await registry.site.sign_up()
        answers = await asyncio.gather(*(person.http.post("/api/v1/clients", json=SEED) for _ in range(8)))
        assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 5
        own = (await person.http.get("/api/v1/clients")).json()
        assert (await person.http.delete(f"/api/v1/clients/{own[0]['clientID']}")).status_code == 204
        assert (await person.http.post("/api/v1/clients", json=SEED)).status_code == 201


async def test_webhooks_lead_inside_only_where_the_operator_says_so(
    registry: Registry, start_registry: RegistryStarter
) -> None:
    """`PRIVATE_TARGETS`, for what is registered and for what is changed; metadata of clouds stays shut."""
    inner, metadata = "https://receiver:8443/", "https://169.254.169.254/"
    person = await registry.site.sign_up()
    refused = await person.http.post("/api/v1/clients", json={**SEED, "webhookUri": inner})
    assert (refused.status_code, [error["field"] for error in refused.json()["errors"]]) == (
        400,
        ["webhookUri"],
    )
    async with start_registry(PRIVATE_TARGETS="on") as opened:
        person = await opened.site.sign_up()
        made = await person.http.post("/api/v1/clients", json={**SEED, "webhookUri": inner})
        assert made.status_code == 201
        path = f"/api/v1/clients/{made.json()['clientID']}"
        for uri, status in ((metadata, 400), ("https://10.0.0.1/", 200)):
            assert (await person.http.patch(path, json={"webhookUri": uri})).status_code == status


async def test_an_account_that_was_disabled_meanwhile_registers_nothing(registry: Registry) -> None:
    """Between the look at the session and the registration: an error of its own, and no row."""
    fields = ClientFields(name="Epic Games", requested_permissions=("customise_score",))
    with pytest.raises(UnknownAuthorError):
        await create_client(registry.resources, 10**9, fields, digest_of("s"))
    assert await registry.sql("SELECT FROM auth.clients WHERE author_id = $1", 10**9) == []


async def live_keys(registry: Registry, client: Client) -> int:
    """How many keys of a client are alive: the oracle of the abuse cases."""
    rows = await registry.sql(
        "SELECT FROM keys.api_keys WHERE client_id = $1 AND status <> 'revoked'", client.client_id
    )
    return len(rows)


async def test_ac_54_a_deleted_client_takes_everything_with_it(registry: Registry) -> None:
    """204; its keys are refused, its code is useless, its secret unknown; a second deletion is 404."""
    author, person = await registry.site.sign_up(), await registry.site.sign_up()
    client = await author.create_client()
    token = (await person.give_key(client))["access_token"]
    code = await person.create_code(client)
    assert (await registry.issuer.verify(token)).status_code == 200
    assert (await author.http.delete(f"/api/v1/clients/{client.client_id}")).status_code == 204
    assert await live_keys(registry, client) == 0
    assert (await registry.issuer.verify(token)).status_code == 401
    assert (await registry.site.exchange(client, code)).status_code == 401
    assert (await registry.site.http.get(f"/api/v1/clients/{client.client_id}")).status_code == 404
    assert (await person.http.get("/api/v1/apps")).json() == []
    assert (await author.http.delete(f"/api/v1/clients/{client.client_id}")).status_code == 404
    assert await registry.sql("SELECT FROM auth.ending_clients") == []


async def test_ac_55_a_client_made_again_under_its_id_inherits_nothing(registry: Registry) -> None:
    """Keys and codes of the deleted client stay dead for the operator's new one of the same id."""
    person: Person = await registry.site.sign_up()
    client = await person.create_client()
    code = await person.create_code(client)
    await person.http.delete(f"/api/v1/clients/{client.client_id}")
    await registry.sql(
        "INSERT INTO auth.clients (client_id, name, redirect_uris, requested_permissions, public, secret_digest,"
        " by_operator, created_on) VALUES ($1, 'Again', '{}', '{customise_score}', false, $2, true, 1)",
        client.client_id,
        digest_of(client.secret or ""),
    )
    registry.resources.clients.invalidate(client.client_id)
    answer = await registry.site.exchange(client, code)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert await live_keys(registry, client) == 0
