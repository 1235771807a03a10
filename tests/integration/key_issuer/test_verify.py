"""`/api/v1/verify`: live keys and nothing else, by headers that a reverse proxy can pass on."""

from __future__ import annotations

import asyncio

import pytest

from shared.contracts.keys import ChangeKey, RevokeKey
from tests.integration.key_issuer.conftest import Desk, mint, open_desk, until

CHALLENGE = 'Bearer error="invalid_token"'


async def raw(desk: Desk, request: bytes) -> bytes:
    """The first bytes of the answer to bytes that no client library would send."""
    host, _, port = desk.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.read(4096)
    writer.close()
    return answer


async def test_a_live_key_is_described_in_headers(desk: Desk) -> None:
    """200 without a body."""
    key = await desk.make()
    for _ in range(2):
        async with desk.http.get(
            f"{desk.url}/api/v1/verify", headers={"Authorization": f"Bearer {key.token}"}
        ) as answer:
            assert answer.status == 200
            assert await answer.read() == b""
            assert answer.headers["X-Latchkey-User"] == "2"
            assert answer.headers["X-Latchkey-Username"] == "b"
            assert answer.headers["X-Latchkey-Client"] == "CXFervidex"
            assert answer.headers["X-Latchkey-Key"] == key.key_id
            assert answer.headers["X-Latchkey-Permissions"] == "customise_score delete_score"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["X-Request-ID"]


async def test_a_personal_key_has_no_client(desk: Desk) -> None:
    """The header is absent, not empty."""
    key = await desk.make(client_id=None, code_digest=None)
    async with desk.http.get(
        f"{desk.url}/api/v1/verify", headers={"Authorization": f"Bearer {key.token}"}
    ) as answer:
        assert answer.status == 200
        assert "X-Latchkey-Client" not in answer.headers


@pytest.mark.spec("RFC 6750", "3.1", "A missing permission is 403 insufficient_scope")
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 200),
        ("?permission=customise_score", 200),
        ("?permission=customise_score&permission=delete_score", 200),
        ("?permission=submit_score", 403),
        ("?permission=customise_score&permission=submit_score", 403),
        ("?permission=", 403),
        ("?permission=%00", 403),
        ("?permission=%ff", 403),
        ("?permission=a%22b", 403),
        ("?unknown=1&x", 200),
    ],
)
async def test_every_permission_asked_for_is_needed(desk: Desk, query: str, status: int) -> None:
    """RFC 6750 §3.1: `insufficient_scope`."""
    key = await desk.make(user_id=7)
    headers = {"Authorization": f"Bearer {key.token}"}
    async with desk.http.get(f"{desk.url}/api/v1/verify{query}", headers=headers) as answer:
        assert answer.status == status
        if status == 403:
            assert answer.headers["WWW-Authenticate"].startswith('Bearer error="insufficient_scope"')
            assert "X-Latchkey-User" not in answer.headers


@pytest.mark.spec("RFC 6750", "3", "A 401 carries WWW-Authenticate with the scheme Bearer")
@pytest.mark.spec("RFC 6750", "3.1", "A key that is not live is 401 invalid_token, whatever the reason")
async def test_everything_else_gets_one_answer(desk: Desk) -> None:
    """Missing, malformed, unknown, paused, expired, revoked and service keys look alike."""
    paused, revoked = await desk.make(), await desk.make()
    expired = await desk.make(expires_on=1)
    service = await desk.make_service_key()
    await desk.bus.request(ChangeKey(key_id=paused.key_id, user_id=2, status="paused"))
    await desk.bus.request(RevokeKey(key_id=revoked.key_id, user_id=2, reason="owner"))
    live = await desk.make()
    flipped = live.token[:-8] + ("A" if live.token[-8] != "A" else "B") + live.token[-7:]
    presented = [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Basic YTpi",
        live.token,
        f"Bearer {live.token} ",
        f"Bearer {live.token} {live.token}",
        f"Bearer {live.token},{live.token}",
        f"Bearer {flipped}",
        f"Bearer {live.token[:-1]}",
        f"Bearer {mint().token}",
        f"Bearer {paused.token}",
        f"Bearer {revoked.token}",
        f"Bearer {expired.token}",
        f"Bearer {service.token}",
        "Bearer " + "é" * 74,
        "Bearer " + "a" * 8000,
    ]
    answers = set()
    for header in presented:
        headers = {} if header is None else {"Authorization": header}
        async with desk.http.get(f"{desk.url}/api/v1/verify", headers=headers) as answer:
            expected = 200 if header == f"Bearer {live.token} " else 401
            assert answer.status == expected, header and header[:40]
            if expected == 401:
                answers.add((answer.headers["WWW-Authenticate"], await answer.text()))
    assert len(answers) == 1
    assert next(iter(answers))[0] == CHALLENGE


@pytest.mark.spec("RFC 6750", "2", "A key is presented by one method, once")
async def test_two_credentials_are_none(desk: Desk) -> None:
    """RFC 6750 §2: one method, once."""
    key = await desk.make()
    request = (
        f"GET /api/v1/verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key.token}\r\n"
        f"Authorization: Bearer {key.token}\r\n\r\n"
    )
    assert (await raw(desk, request.encode())).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "header",
    [
        b"Bearer \xff\xfe",
        b"Bearer \x80" + b"a" * 73,
        b"B\xc3\xa4rer x",
        b"Bearer \xef\xbd\x8c\xef\xbd\x8b\xef\xbd\x95",
        b"bearer",
        b"  ",
        b"Bearer\tx",
    ],
)
async def test_strange_bytes_are_no_key(desk: Desk, header: bytes) -> None:
    """Never a 5xx."""
    answer = await raw(
        desk, b"GET /api/v1/verify HTTP/1.1\r\nHost: x\r\nAuthorization: " + header + b"\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("header", [b"Bearer a\0b", b"Bearer " + b"a" * 1_000_000])
async def test_what_is_no_header_is_refused_before_any_check(desk: Desk, header: bytes) -> None:
    """4xx, or the connection is closed; never a 5xx."""
    try:
        answer = await raw(
            desk, b"GET /api/v1/verify HTTP/1.1\r\nHost: x\r\nAuthorization: " + header + b"\r\n\r\n"
        )
    except ConnectionError:
        return
    assert answer == b"" or answer[8:10] == b" 4"


@pytest.mark.spec("RFC 6750", "2.1", "The key is in the Authorization header, the scheme in any case")
async def test_the_scheme_ignores_case(desk: Desk) -> None:
    """RFC 9110 §11.1."""
    key = await desk.make()
    for scheme in ("bearer", "BEARER", "bEaReR"):
        assert await desk.check(key.token, Authorization=f"{scheme} {key.token}") == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_a_proxy_may_ask_with_the_method_it_protects(desk: Desk, method: str) -> None:
    """Envoy's ext_authz does; nothing is changed by any of them."""
    key = await desk.make()
    for token, status in ((key.token, 200), ("x", 401)):
        headers = {"Authorization": f"Bearer {token}"}
        async with desk.http.request(method, f"{desk.url}/api/v1/verify", headers=headers) as answer:
            assert answer.status == status


async def test_another_method_is_refused(desk: Desk) -> None:
    """405 names what is understood."""
    async with desk.http.request("TRACE", f"{desk.url}/api/v1/verify") as answer:
        assert answer.status == 405
        assert "GET" in answer.headers["Allow"].split(",")


@pytest.mark.spec("RFC 7009", "2", "A revoked key is refused by every replica within a second")
async def test_a_revoked_key_is_refused_by_every_replica_in_under_a_second(desk: Desk) -> None:
    """Both verifiers have it in memory; at the one that revoked it, it is dead when that is answered."""
    async with open_desk(desk.stores) as other:
        for _ in range(10):
            key = await desk.make()
            for each in (desk, other):
                assert await each.check(key.token) == 200
            await desk.bus.request(RevokeKey(key_id=key.key_id, user_id=2, reason="owner"))

            async def is_refused(token: str = key.token) -> bool:
                return [await each.check(token) for each in (desk, other)] == [401, 401]

            await until(is_refused, 1.0)


async def test_every_change_reaches_every_replica(desk: Desk) -> None:
    """Paused, narrowed, resumed and expired take the path of a revocation."""
    async with open_desk(desk.stores) as other:
        key = await desk.make()

        async def settles_at(status: int, query: str = "") -> None:
            async def is_so() -> bool:
                return [await each.check(key.token, query) for each in (desk, other)] == [status] * 2

            await until(is_so, 2.0)

        await settles_at(200, "?permission=delete_score")
        await desk.bus.request(ChangeKey(key_id=key.key_id, user_id=2, permissions=("customise_score",)))
        await settles_at(403, "?permission=delete_score")
        await desk.bus.request(ChangeKey(key_id=key.key_id, user_id=2, status="paused"))
        await settles_at(401)
        await desk.bus.request(ChangeKey(key_id=key.key_id, user_id=2, status="active"))
        await settles_at(200)
        await desk.bus.request(ChangeKey(key_id=key.key_id, user_id=2, expires_on=1))
        await settles_at(401)


@pytest.mark.spec("RFC 6750", "5.2", "A key is good no longer than it was given for")
async def test_a_key_dies_at_its_expiry_although_it_is_remembered(desk: Desk) -> None:
    """Expiry is looked at on every check."""
    row = await desk.sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now")
    key = await desk.make(expires_on=row[0]["now"] + 1500)
    assert await desk.check(key.token) == 200

    async def is_refused() -> bool:
        return await desk.check(key.token) == 401

    await until(is_refused, 3.0)


async def test_a_flood_of_one_key_reads_its_row_once(desk: Desk) -> None:
    """A single flight per key."""
    key = await desk.make()
    before = await desk.misses()
    assert set(await asyncio.gather(*(desk.check(key.token) for _ in range(50)))) == {200}
    assert await desk.misses() - before == 1


async def test_the_time_from_revocation_to_refusal_is_published(desk: Desk) -> None:
    """A histogram that operators can watch."""
    key = await desk.make()
    await desk.bus.request(RevokeKey(key_id=key.key_id, user_id=2, reason="owner"))

    async def is_counted() -> bool:
        async with desk.http.get(f"{desk.url}/metrics") as answer:
            text = await answer.text()
        return float(text.split("\nlatchkey_revocation_seconds_count ")[1].split("\n")[0]) > 0

    await until(is_counted)


async def test_a_use_is_listed(desk: Desk) -> None:
    """With the permissions that were asked for and are granted."""
    key = await desk.make(user_id=90)
    await desk.check(key.token, "?permission=customise_score")
    await desk.check(key.token, "?permission=customise_score&permission=nope")

    async def is_written() -> bool:
        row = (await desk.sql("SELECT * FROM api_keys WHERE key_id = $1", key.key_id))[0]
        return row["last_used_on"] is not None and row["used_permissions"] == ["customise_score"]

    await until(is_written, 3.0)


async def test_digests_move_to_the_newest_pepper_when_they_are_used(desk: Desk) -> None:
    """Peppers are exchanged without touching keys that nobody uses."""
    old = "pepper-of-the-tests-0123456789abcdef"
    new = "another-pepper-0123456789abcdefghijkl"
    key, service = await desk.make(), await desk.make_service_key()
    async with open_desk(desk.stores, KEY_PEPPER=f"2:{new},1:{old}") as renewed:
        assert await renewed.check(key.token) == 200
        rows = await desk.sql("SELECT pepper_version FROM api_keys WHERE key_id = $1", key.key_id)
        assert rows[0]["pepper_version"] == 2
        headers = {"Authorization": f"Bearer {service.token}"}
        async with renewed.http.post(
            f"{renewed.url}/api/v1/oauth/introspect", data={"token": key.token}, headers=headers
        ) as answer:
            assert (await answer.json())["active"] is True
    async with open_desk(desk.stores, KEY_PEPPER=f"2:{new}") as later:
        assert await later.check(key.token) == 200
