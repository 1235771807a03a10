"""`/api/v1/oauth/introspect` (RFC 7662): for resource servers by service key, for clients on their own keys."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.bus import Consumer, Delivery, handler
from shared.contracts.clients import AuthenticateClient, ClientAuthenticated
from shared.contracts.keys import RevokeKey
from shared.secret_tokens import digest_of, peer_digest
from tests.integration.key_issuer.conftest import PEPPER, Desk, mint

SECRET = "the secret & more"


@pytest.fixture(scope="module", autouse=True)
async def registry(desk: Desk) -> AsyncIterator[list[AuthenticateClient]]:
    """The other side of the bus: one client and its secret; keeps what it was asked."""
    asked: list[AuthenticateClient] = []

    async def authenticate(command: AuthenticateClient, _delivery: Delivery) -> ClientAuthenticated:
        asked.append(command)
        if command.client_id == "CXBusy":
            return ClientAuthenticated(authenticated=False, retry_after=7)
        right = (command.client_id, command.secret_digest) == ("CXFervidex", digest_of(SECRET))
        return ClientAuthenticated(authenticated=right)

    consumer = Consumer(desk.bus, "auth_api", [handler(AuthenticateClient, authenticate)])
    task = asyncio.create_task(consumer.run())
    yield asked
    consumer.stop()
    await task


async def ask(
    desk: Desk, data: Any, authorization: str | None = None, content_type: str = ""
) -> tuple[int, Any, dict[str, str]]:
    """Status, body and headers."""
    headers = {"Content-Type": content_type or "application/x-www-form-urlencoded"}
    if authorization is not None:
        headers["Authorization"] = authorization
    url = f"{desk.url}/api/v1/oauth/introspect"
    async with desk.http.post(url, data=data, headers=headers) as answer:
        return answer.status, await answer.json(), dict(answer.headers)


def basic(client_id: str, secret: str) -> str:
    """HTTP Basic as RFC 6749 §2.3.1 wants it."""
    encoded = secret.replace("%", "%25").replace(" ", "+").replace("&", "%26")
    return "Basic " + b64encode(f"{client_id}:{encoded}".encode()).decode()


def plain(login: str | bytes) -> str:
    """HTTP Basic as RFC 7617 has it."""
    return "Basic " + b64encode(login.encode() if isinstance(login, str) else login).decode()


@pytest.mark.spec("RFC 7662", "2.2", "The members of the answer for a live key")
async def test_a_resource_server_learns_everything_about_a_live_key(desk: Desk) -> None:
    """RFC 7662 §2.2."""
    service = await desk.make_service_key()
    key = await desk.make(expires_on=9_999_999_999_999)
    status, body, headers = await ask(desk, {"token": key.token}, f"Bearer {service.token}")
    assert status == 200
    assert abs(body.pop("iat") - (await desk.sql("SELECT extract(epoch FROM now())::bigint"))[0][0]) < 60
    assert body == {
        "active": True,
        "scope": "customise_score delete_score",
        "client_id": "CXFervidex",
        "username": "b",
        "sub": "2",
        "token_type": "Bearer",
        "exp": 9_999_999_999,
        "key_id": key.key_id,
    }
    assert headers["Cache-Control"] == "no-store"


async def test_a_personal_key_has_neither_client_nor_expiry(desk: Desk) -> None:
    """What is not there is left out."""
    service = await desk.make_service_key()
    key = await desk.make(client_id=None, code_digest=None)
    _status, body, _headers = await ask(desk, {"token": key.token}, f"Bearer {service.token}")
    assert "client_id" not in body
    assert "exp" not in body


@pytest.mark.spec("RFC 7662", "2.2", "What is not live is active: false, and nothing else is told")
async def test_anything_not_live_is_inactive_and_nothing_more(desk: Desk) -> None:
    """RFC 7662 §2.2: no hint why."""
    service = await desk.make_service_key()
    revoked = await desk.make()
    await desk.bus.request(RevokeKey(key_id=revoked.key_id, user_id=2, reason="owner"))
    for token in ("x", mint().token, revoked.token, service.token, "é", "a" * 5000):
        data = {"token": token, "token_type_hint": "access_token", "unknown": "1"}
        status, body, _headers = await ask(desk, data, f"Bearer {service.token}")
        assert (status, body) == (200, {"active": False})


@pytest.mark.spec("RFC 7662", "4", "A client learns nothing of the keys of others")
async def test_a_client_asks_about_its_own_keys_only(desk: Desk, registry: list[AuthenticateClient]) -> None:
    """By Basic or in the body; auth_api sees a digest of the secret."""
    own, other = await desk.make(), await desk.make(client_id="CY")
    body_credentials = {"client_id": "CXFervidex", "client_secret": SECRET}
    for data, authorization in (({}, basic("CXFervidex", SECRET)), (body_credentials, None)):
        status, body, _ = await ask(desk, {"token": own.token, **data}, authorization)
        assert (status, body["active"]) == (200, True)
        _, body, _ = await ask(desk, {"token": other.token, **data}, authorization)
        assert body == {"active": False}
    assert {command.secret_digest for command in registry if command.client_id == "CXFervidex"} == {
        digest_of(SECRET)
    }
    assert {command.peer for command in registry} == {peer_digest(PEPPER, "127.0.0.1")}


async def test_credentials_are_remembered_for_a_moment(
    desk: Desk, registry: list[AuthenticateClient]
) -> None:
    """A burst asks auth_api once."""
    key = await desk.make()
    registry.clear()
    answers = await asyncio.gather(
        *(ask(desk, {"token": key.token}, basic("CXFervidex", SECRET)) for _ in range(20))
    )
    assert {status for status, _, _ in answers} == {200}
    assert len(registry) <= 2


@pytest.mark.spec("RFC 7662", "2.1", "The caller must be authorized")
@pytest.mark.parametrize(
    ("data", "authorization"),
    [
        ({}, None),
        ({}, basic("CXFervidex", "wrong")),
        ({}, basic("Unknown", SECRET)),
        ({}, "Basic !!!"),
        ({}, "Basic"),
        ({}, "Digest x"),
        ({}, basic("CXFervidex", "")),
        ({"client_id": "CXFervidex"}, None),
        ({"client_id": "CXFervidex", "client_secret": "wrong"}, None),
        ({"client_id": "a" * 5000, "client_secret": "x"}, None),
        ({"client_secret": SECRET}, None),
    ],
)
async def test_a_client_that_proves_nothing_is_refused(
    desk: Desk, data: dict[str, str], authorization: str | None
) -> None:
    """RFC 6749 §5.2: `invalid_client` with a challenge."""
    status, body, headers = await ask(desk, {"token": "x", **data}, authorization)
    assert (status, body["error"]) == (401, "invalid_client")
    assert headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.spec("RFC 7662", "2.3", "Wrong credentials are 401")
@pytest.mark.parametrize("token", ["x", "", "lks_abc"])
async def test_a_wrong_service_key_is_refused(desk: Desk, token: str) -> None:
    """RFC 7662 §2.3 and RFC 6750 §3.1."""
    status, body, headers = await ask(desk, {"token": "x"}, f"Bearer {token}")
    assert (status, body["error"]) == (401, "invalid_token")
    assert headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.spec("RFC 7662", "2.1", "A protected resource authenticates as a client does")
@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("api", "api"),
        ("my api", "my api"),
        ("my api", "my+api"),
        ("50 % + more", "50 % + more"),
        ("50 % + more", "50%20%25%20%2B+more"),
        ("a:b", "a:b"),
        ("a:b", "a%3Ab"),
        ("Café", "Café"),
        ("Café", "Caf%C3%A9"),
    ],
)
async def test_a_service_key_is_taken_as_a_password_with_its_name(
    desk: Desk, registry: list[AuthenticateClient], name: str, sent: str
) -> None:
    """For libraries that know a client's id and secret only; form-encoded or not. auth_api is not asked."""
    service = await desk.make_service_key(name=name)
    key = await desk.make()
    registry.clear()
    for data in ({}, {"client_id": name}):
        status, body, _headers = await ask(
            desk, {"token": key.token, **data}, plain(f"{sent}:{service.token}")
        )
        assert (status, body["active"]) == (200, True)
    assert registry == []


@pytest.mark.parametrize("name", ["", "API", "api ", "apis", "a%pi", "é", "\xff", "%ff", "api:api", "\0"])
async def test_a_service_key_under_another_name_is_refused(
    desk: Desk, registry: list[AuthenticateClient], name: str
) -> None:
    """As a wrong secret is; auth_api never sees what may be a live key."""
    service = await desk.make_service_key()
    registry.clear()
    status, body, headers = await ask(
        desk, {"token": "x"}, plain(f"{name}:{service.token}".encode("latin-1"))
    )
    assert (status, body["error"]) == (401, "invalid_client")
    assert headers["WWW-Authenticate"].startswith("Basic ")
    assert registry == []


async def test_a_service_key_in_basic_must_be_live_and_permitted(desk: Desk) -> None:
    """And nothing but a service key: a person's key is neither key nor secret here."""
    other, unknown, person = await desk.make_service_key("users"), mint("s"), await desk.make()
    for token, status in ((other.token, 403), (unknown.token, 401), (person.token, 401)):
        assert (await ask(desk, {"token": "x"}, plain(f"api:{token}")))[0] == status
    service = await desk.make_service_key()
    for data in ({"client_secret": "x"}, {"client_id": "CXFervidex"}):
        status, body, _headers = await ask(desk, {"token": "x", **data}, plain(f"api:{service.token}"))
        assert (status, body["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "malformed",
    [
        b"api{key}",
        b":{key}",
        b"api:{key} ",
        b"api: {key}",
        b"api:{key}\n",
        b"api:{key}\0",
        b"api:{key}:",
        b"api:{key}\xc3\xa9",
        b"\xff\xfe:{key}",
        b"api:" + b"x" * 8_000,
        b"x" * 8_000 + b":{key}",
    ],
)
async def test_a_malformed_basic_with_a_service_key_is_refused(desk: Desk, malformed: bytes) -> None:
    """Nothing is guessed, and nothing breaks."""
    service = await desk.make_service_key()
    login = plain(malformed.replace(b"{key}", service.token.encode()))
    status, body, headers = await ask(desk, {"token": "x"}, login)
    assert (status, body["error"]) == (401, "invalid_client")
    assert headers["WWW-Authenticate"].startswith("Basic ")


async def test_a_users_key_is_no_service_key(desk: Desk) -> None:
    """Holding a key gives nobody the right to ask about keys."""
    key = await desk.make()
    status, body, _ = await ask(desk, {"token": key.token}, f"Bearer {key.token}")
    assert (status, body["error"]) == (401, "invalid_token")


@pytest.mark.spec("RFC 7662", "2.1", "A service key needs the permission to introspect")
async def test_a_service_key_needs_the_permission(desk: Desk) -> None:
    """RFC 6750 §3.1."""
    service = await desk.make_service_key("something_else")
    status, body, headers = await ask(desk, {"token": "x"}, f"Bearer {service.token}")
    assert (status, body["error"]) == (403, "insufficient_scope")
    assert 'scope="introspect"' in headers["WWW-Authenticate"]


@pytest.mark.spec("RFC 7662", "2.1", "token is required, and there once")
@pytest.mark.parametrize(
    ("data", "authorization"),
    [
        ("", "service"),
        ("token=", "service"),
        ("token=a&token=b", "service"),
        ("token=a&client_secret=x", "service"),
        ("token=%00", "service"),
        ("token=%ff", "service"),
        ("token=a&client_id=CY", basic("CXFervidex", SECRET)),
        ("token=a&client_secret=x", basic("CXFervidex", SECRET)),
        ("client_id=a&client_id=b&token=x", None),
    ],
)
async def test_a_malformed_request_is_told_so(desk: Desk, data: str, authorization: str | None) -> None:
    """`invalid_request`, in the shape of RFC 6749 §5.2."""
    if authorization == "service":
        authorization = f"Bearer {(await desk.make_service_key()).token}"
    status, body, headers = await ask(desk, data, authorization)
    assert (status, body["error"]) == (400, "invalid_request")
    assert body["error_description"]
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.spec("RFC 7662", "2.1", "The request is form-encoded")
@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "multipart/form-data; boundary=x"]
)
async def test_another_media_type_is_refused(desk: Desk, content_type: str) -> None:
    """415, in the endpoint's shape."""
    status, body, _ = await ask(desk, b"token=x", content_type=content_type)
    assert status == 415
    assert body["error"] == "invalid_request"


@pytest.mark.spec("RFC 7662", "2.1", "Introspection is asked by POST")
async def test_another_method_is_refused(desk: Desk) -> None:
    """405 as RFC 6749 JSON."""
    async with desk.http.get(f"{desk.url}/api/v1/oauth/introspect") as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "POST"
        assert "error" in await answer.json()


@pytest.mark.spec("RFC 7662", "4", "Guessing credentials is limited")
async def test_a_client_that_fails_too_often_is_told_to_wait(desk: Desk) -> None:
    """auth_api counts, for this endpoint too."""
    status, _body, headers = await ask(desk, {"token": "x"}, basic("CXBusy", "x"))
    assert status == 429
    assert headers["Retry-After"] == "7"


async def test_a_revoked_service_key_is_refused(desk: Desk) -> None:
    """Reported like any other key."""
    service = await desk.make_service_key()
    status, _, _ = await ask(desk, {"token": "x"}, f"Bearer {service.token}")
    assert status == 200
    async with desk.http.post(f"{desk.url}/api/v1/keys/report-leak", json={"token": service.token}) as answer:
        assert answer.status == 202
    status, _, _ = await ask(desk, {"token": "x"}, f"Bearer {service.token}")
    assert status == 401
