"""The exchange as ordinary clients do it: every way to authenticate, both shapes of body, exact answers."""

from __future__ import annotations

import re

import pytest

from services.auth_api.oauth.pkce import challenge_of
from tests.harness.site import CALLBACK, Person
from tests.integration.oauth.conftest import Provider
from tests.integration.oauth.consenting import parameters_of

TOKEN = "/api/v1/oauth/token"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


@pytest.mark.spec("RFC 6749", "5.1", "A successful response: its members, and nobody may keep it")
async def test_a_form_request_is_answered_with_bare_rfc_6749_json(
    provider: Provider, author: Person, person: Person
) -> None:
    """Exactly the members of interface.md, no more."""
    client = await author.create_client()
    answer = await provider.site.exchange(client, await person.create_code(client))
    assert answer.status_code == 200
    document = answer.json()
    assert re.fullmatch(r"lku_[0-9A-Za-z]{6}_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}", document["access_token"])
    assert document == {
        "access_token": document["access_token"],
        "token_type": "Bearer",
        "scope": "customise_score",
        "userID": person.user_id,
        "identifier": "Epic Games",
        "permissions": {"customise_score": True},
        "fromAPIClient": client.client_id,
        "keyID": document["access_token"].split("_")[2],
    }
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_json_request_is_answered_with_the_seed_systems_envelope(
    provider: Provider, author: Person, person: Person
) -> None:
    """What its integrators send, and what they read."""
    client = await author.create_client()
    body = {
        "client_id": client.client_id,
        "client_secret": client.secret,
        "grant_type": "authorization_code",
        "redirect_uri": CALLBACK,
        "code": await person.create_code(client),
        "something": ["unknown"],
    }
    answer = await provider.site.http.post(TOKEN, json=body)
    assert answer.status_code == 200
    document = answer.json()
    assert document["success"] is True
    assert document["body"] == {
        "userID": person.user_id,
        "token": document["access_token"],
        "identifier": "Epic Games",
        "permissions": {"customise_score": True},
        "fromAPIClient": client.client_id,
    }
    assert (await provider.issuer.verify(document["body"]["token"], "customise_score")).status_code == 200
    refused = await provider.site.http.post(TOKEN, json=body)
    assert refused.status_code == 400
    error = refused.json()
    assert error == {
        "error": "invalid_grant",
        "error_description": error["description"],
        "success": False,
        "description": error["description"],
    }


@pytest.mark.spec("RFC 6749", "2.3.1", "Credentials in the body are accepted too")
async def test_the_secret_may_be_sent_in_the_body(provider: Provider, author: Person, person: Person) -> None:
    """The second form of RFC 6749 §2.3.1."""
    client = await author.create_client()
    answer = await provider.site.http.post(
        TOKEN,
        data={
            "grant_type": "authorization_code",
            "code": await person.create_code(client),
            "client_id": client.client_id,
            "client_secret": str(client.secret),
        },
    )
    assert answer.status_code == 200


async def test_an_empty_authorization_header_counts_as_absent(
    provider: Provider, author: Person, person: Person
) -> None:
    """A bot of the seed's site sends one beside the secret in its JSON."""
    client = await author.create_client()
    body = {
        "grant_type": "authorization_code",
        "code": await person.create_code(client),
        "client_id": client.client_id,
        "client_secret": client.secret,
    }
    answer = await provider.site.http.post("/api/v1/oauth/token", json=body, headers={"Authorization": ""})
    assert answer.status_code == 200, answer.text


@pytest.mark.spec("RFC 7636", "4.5", "A public client redeems with its verifier")
@pytest.mark.parametrize("way", ["client_id", "empty secret", "basic without password"])
async def test_a_public_client_redeems_with_its_verifier(
    provider: Provider, way: str, author: Person, person: Person
) -> None:
    """However its library says that there is no secret."""
    client = await author.create_client(public=True)
    assert client.secret is None
    code = await person.create_code(client, codeChallenge=challenge_of(VERIFIER), codeChallengeMethod="S256")
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER}
    if way == "basic without password":
        answer = await provider.site.http.post(TOKEN, data=form, auth=(client.client_id, ""))
    else:
        extra = {"client_secret": ""} if way == "empty secret" else {}
        answer = await provider.site.http.post(TOKEN, data={**form, "client_id": client.client_id, **extra})
    assert answer.status_code == 200, answer.text


@pytest.mark.spec("RFC 7636", "4.6", "PKCE is honoured for confidential clients too")
async def test_a_confidential_client_may_use_pkce(provider: Provider, author: Person, person: Person) -> None:
    """And is then held to it."""
    client = await author.create_client()
    fields = {"codeChallenge": challenge_of(VERIFIER), "codeChallengeMethod": "S256"}
    code = await person.create_code(client, **fields)
    missing = await provider.site.exchange(client, code)
    assert (missing.status_code, missing.json()["error"]) == (400, "invalid_grant")
    assert (await provider.site.exchange(client, code, code_verifier=VERIFIER)).status_code == 200


@pytest.mark.spec("RFC 6749", "3.3", "What was granted is what the key can do")
@pytest.mark.spec("RFC 6749", "3.3", "The response tells the scope that was granted")
async def test_a_narrowed_scope_is_what_the_key_carries(
    provider: Provider, author: Person, person: Person
) -> None:
    """In the order in which the client registered them."""
    client = await author.create_client(
        requestedPermissions=["submit_score", "customise_score", "delete_score"]
    )
    code = await person.create_code(client, permissions=["delete_score", "submit_score"])
    document = (await provider.site.exchange(client, code)).json()
    assert document["scope"] == "submit_score delete_score"
    assert document["permissions"] == {"submit_score": True, "delete_score": True}
    assert (await provider.issuer.verify(document["access_token"], "submit_score")).status_code == 200
    assert (await provider.issuer.verify(document["access_token"], "customise_score")).status_code == 403


async def test_create_code_tells_where_to_send_the_person(
    provider: Provider, author: Person, person: Person
) -> None:
    """The registered bytes, then code, state, context and issuer."""
    uri = "https://c.example/cb;p=1?a=%2F&b=1+2&c=%7e&e="
    client = await author.create_client(redirectUri=uri)
    state = "s t&u#v%20+é"
    answer = await person.http.post(
        "/api/v1/oauth/create-code", json={"clientID": client.client_id, "state": state, "context": "42"}
    )
    assert answer.status_code == 200
    document = answer.json()
    assert set(document) == {"code", "userID", "createdOn", "expiresIn", "redirectTo"}
    assert document["userID"] == person.user_id
    assert document["expiresIn"] == 60
    assert document["redirectTo"].startswith(f"{uri}&code={document['code']}&state=")
    parameters = parameters_of(document["redirectTo"])
    assert (parameters["state"], parameters["context"]) == (state, "42")
    assert parameters["iss"] == provider.resources.settings.public_url
    assert answer.headers["Cache-Control"] == "no-store"


async def test_create_code_needs_a_session_and_our_origin(
    provider: Provider, author: Person, person: Person
) -> None:
    """A page of another site cannot consent for anybody."""
    client = await author.create_client()
    body = {"clientID": client.client_id}
    path = "/api/v1/oauth/create-code"
    nobody = await provider.site.http.post(path, json=body, headers={"Origin": provider.site.origin})
    assert nobody.status_code == 401
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        foreign = await person.http.post(path, json=body, headers=headers)
        assert foreign.status_code == 403, headers
        assert "error" in foreign.json()
    assert await provider.sql("SELECT 1 FROM auth.grants WHERE user_id = $1", person.user_id) == []


@pytest.mark.parametrize(
    ("fields", "status", "named"),
    [
        ({"clientID": "nobody"}, 404, "clientID"),
        ({"clientID": ""}, 400, "clientID"),
        ({"clientID": 1}, 400, "clientID"),
        ({"redirectUri": "https://evil.example/"}, 400, "redirectUri"),
        ({"permissions": ["delete_score"]}, 400, "permissions"),
        ({"permissions": "customise_score"}, 400, "permissions"),
        ({"permissions": []}, 400, "permission"),
        ({"codeChallenge": "x", "codeChallengeMethod": "S256"}, 400, "codeChallenge"),
        ({"codeChallenge": challenge_of(VERIFIER)}, 400, "codeChallengeMethod"),
        ({"codeChallengeMethod": "S256"}, 400, "codeChallenge"),
        ({"state": "a\0b"}, 400, "state"),
        ({"surprise": "x"}, 400, "surprise"),
    ],
)
async def test_create_code_names_what_is_wrong(
    provider: Provider, fields: dict[str, object], status: int, named: str, author: Person
) -> None:
    """In the error shape of the OAuth endpoints."""
    client = await author.create_client()
    answer = await author.http.post(
        "/api/v1/oauth/create-code", json={"clientID": client.client_id, **fields}
    )
    assert answer.status_code == status, answer.text
    assert named in answer.json()["error_description"]
    assert answer.json()["error"]


@pytest.mark.spec("RFC 6749", "4.1.3", "A loopback client redeems with the port that it used")
async def test_the_port_of_a_loopback_client_is_part_of_the_binding(
    provider: Provider, author: Person, person: Person
) -> None:
    """Any port may ask; the same must redeem."""
    client = await author.create_client(redirectUri="http://127.0.0.1/cb")
    code = await person.create_code(client, redirectUri="http://127.0.0.1:51004/cb")
    other = await provider.site.exchange(client, code, redirect_uri="http://127.0.0.1:51005/cb")
    assert other.json()["error"] == "invalid_grant"
    right = await provider.site.exchange(client, code, redirect_uri="http://127.0.0.1:51004/cb")
    assert right.status_code == 200


@pytest.mark.spec("RFC 8414", "3.3", "issuer is the configured one, whatever Host was asked")
@pytest.mark.spec("RFC 8414", "3", "The metadata document")
async def test_the_metadata_is_served_to_anybody(provider: Provider) -> None:
    """Whatever Host the request names, the issuer is the configured one."""
    lies = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    answer = await provider.site.http.get("/.well-known/oauth-authorization-server", headers=lies)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.json()["issuer"] == provider.resources.settings.public_url
    assert "evil" not in answer.text
    assert len(answer.json()["scopes_supported"]) == 8
    assert "registration_endpoint" not in answer.json()


@pytest.mark.spec("RFC 9700", "2.6", "Browser clients may call the token and metadata endpoints (CORS)")
@pytest.mark.parametrize(
    ("path", "allow"),
    [
        (TOKEN, "POST"),
        ("/api/v1/oauth/revoke", "POST"),
        ("/api/v1/oauth/par", "POST"),
        ("/api/v1/oauth/device_authorization", "POST"),
        ("/.well-known/oauth-authorization-server", "GET"),
        ("/api/v1/openapi.json", "GET"),
    ],
)
async def test_pages_of_other_sites_may_call_the_open_endpoints(
    provider: Provider, path: str, allow: str
) -> None:
    """The preflight of a browser passes, and errors can be read too."""
    headers = {
        "Origin": "https://spa.example",
        "Access-Control-Request-Method": allow,
        "Access-Control-Request-Headers": "authorization,content-type,traceparent,x-requested-with",
    }
    answer = await provider.site.http.options(path, headers=headers)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert allow in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == "*, Authorization"
    wrong = await provider.site.http.put(path)
    assert (wrong.status_code, wrong.headers["Access-Control-Allow-Origin"]) == (405, "*")


@pytest.mark.spec(
    "RFC 9700", "2.6", "The authorization endpoint and what cookies open are closed to other sites"
)
@pytest.mark.parametrize(
    "path",
    ["/api/v1/oauth/create-code", "/api/v1/oauth/introspect", "/api/v1/session", "/api/v1/oauth/tokens"],
)
async def test_nothing_else_is_open_to_other_sites(provider: Provider, path: str) -> None:
    """Least of all what a cookie opens."""
    answer = await provider.site.http.post(path, headers={"Origin": "https://spa.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.status_code >= 400


@pytest.mark.spec("RFC 7009", "2.1", "An unknown token_type_hint changes nothing")
@pytest.mark.spec("RFC 7009", "2.2", "Revocation answers 200, also for what is no key of the client")
async def test_revocation_ends_the_clients_own_key_alone(
    provider: Provider, author: Person, person: Person
) -> None:
    """A key of another client stays alive, and neither answer tells."""
    client, other = await author.create_client(), await author.create_client()
    key = (await person.give_key(client))["access_token"]
    for token in (key, "nonsense", "", "lku_x", "é"):
        answer = await provider.site.http.post(
            "/api/v1/oauth/revoke", data={"token": token, "token_type_hint": "x"}, auth=other.basic
        )
        assert answer.status_code == (200 if token else 400), answer.text
    assert (await provider.issuer.verify(key)).status_code == 200
    answer = await provider.site.http.post("/api/v1/oauth/revoke", data={"token": key}, auth=client.basic)
    assert (answer.status_code, answer.json()) == (200, {})
    assert await provider.live_keys(person.user_id) == 0
    again = await provider.site.http.post("/api/v1/oauth/revoke", data={"token": key}, auth=client.basic)
    assert (again.status_code, again.json()) == (200, {})


@pytest.mark.spec("RFC 7009", "2.1", "Revocation authenticates the client first")
async def test_revocation_needs_the_client(provider: Provider, author: Person, person: Person) -> None:
    """A wrong secret revokes nothing; a public client needs none."""
    client = await author.create_client()
    key = (await person.give_key(client))["access_token"]
    path = "/api/v1/oauth/revoke"
    wrong = await provider.site.http.post(path, data={"token": key}, auth=(client.client_id, "wrong"))
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    assert wrong.headers["WWW-Authenticate"].startswith("Basic ")
    alone = await provider.site.http.post(path, data={"token": key, "client_id": client.client_id})
    assert alone.status_code == 401
    assert await provider.live_keys(person.user_id) == 1
    public = await author.create_client(public=True)
    answer = await provider.site.http.post(path, data={"token": key, "client_id": public.client_id})
    assert (answer.status_code, answer.json()) == (200, {})
    assert await provider.live_keys(person.user_id) == 1
