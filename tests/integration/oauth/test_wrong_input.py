"""Wrong input of every kind on the OAuth endpoints: a 4xx in the protocol's shape, never a 5xx; and no secret kept."""

from __future__ import annotations

import json
import zlib

import httpx
import pytest

from services.auth_api.oauth.pkce import challenge_of
from tests.harness.site import CALLBACK, Person
from tests.integration.oauth.conftest import Provider
from tests.integration.oauth.consenting import accept, shown

TOKEN = "/api/v1/oauth/token"
FIELDS = {
    TOKEN: ["grant_type", "code", "redirect_uri", "client_id", "client_secret", "code_verifier", "device_code"],
    "/api/v1/oauth/revoke": ["token", "token_type_hint", "client_id", "client_secret"],
    "/api/v1/oauth/par": [
        "client_id", "client_secret", "redirect_uri", "scope", "state", "context", "response_type",
        "response_mode", "code_challenge", "code_challenge_method", "prompt", "request", "request_uri",
    ],
    "/api/v1/oauth/device_authorization": ["client_id", "client_secret", "scope"],
}  # fmt: skip
ODD = {
    "NUL": b"%00",
    "bad UTF-8": b"%ff%fe",
    "overlong": b"%c0%af",
    "surrogate": b"%ed%a0%80",
    "raw bytes": b"\xff\x00\xfe",
    "long": b"x" * 60_000,
    "controls": b"%01%1b[2J%0d%0aX:%201",
    "unicode": "%u202e\u0663\uff11\uff46".encode(),
    "percent": b"%",
    "sql": b"';DROP%20TABLE%20users;--",
    "template": b"{{7*7}}${x}%25(k)s",
    "empty": b"",
}
UNREADABLE = ("NUL", "bad UTF-8", "overlong", "surrogate", "raw bytes")
GOOD = {
    TOKEN: b"grant_type=authorization_code&code=x",
    "/api/v1/oauth/revoke": b"token=x",
    "/api/v1/oauth/par": b"response_type=code",
    "/api/v1/oauth/device_authorization": b"",
}
ODD_BODIES = [
    ("application/json", b"[" * 50_000),
    ("application/json", b'{"a":1,"a":2}'),
    ("application/json", b"\xff"),
    (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="code"; filename="f"\r\n\r\na\r\n--x--',
    ),
    ("multipart/form-data", b"x"),
    ("application/x-www-form-urlencoded", b"&&&===&a"),
    ("application/x-www-form-urlencoded", b"a=b&" * 500),
    ("application/x-www-form-urlencoded; charset=nope", b"a=b"),
    ("text/plain", b"x"),
    ("", b"x"),
    ("application/json; charset=utf-16", b"{}"),
]


@pytest.mark.spec("RFC 6749", "5.2", "Whatever is sent, the error has its characters and its members")
@pytest.mark.parametrize(
    ("path", "field"), [(path, field) for path, fields in FIELDS.items() for field in fields]
)
async def test_ac_48_odd_values_are_never_a_server_error(
    provider: Provider, author: Person, path: str, field: str
) -> None:
    """In any field, with a good client behind the rest."""
    client = await _client(provider, author)
    pairs = [pair for pair in GOOD[path].split(b"&") if pair and not pair.startswith(field.encode() + b"=")]
    if not field.startswith("client_"):
        pairs += [f"client_id={client[0]}".encode(), f"client_secret={client[1]}".encode()]
    for odd, value in ODD.items():
        body = b"&".join([*pairs, field.encode() + b"=" + value])
        answer = await provider.site.http.post(
            path, content=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
        assert answer.status_code < 500, (odd, answer.text)
        if answer.status_code >= 400:
            assert answer.status_code in (400, 401), (odd, answer.text)
            assert set(answer.json()) == {"error", "error_description"}, odd
            description = answer.json()["error_description"]
            assert all("\x20" <= letter <= "\x7e" and letter not in '"\\' for letter in description), odd
            if odd in UNREADABLE:
                assert field in description, odd


@pytest.mark.parametrize(
    "field", ["clientID", "redirectUri", "permissions", "state", "context", "codeChallenge"]
)
async def test_ac_48_create_code_takes_no_odd_json(provider: Provider, author: Person, field: str) -> None:
    """A wrong type is named; a text of whatever letters is carried or refused, never an error of ours."""
    client = await _client(provider, author)
    for value in (None, 1, 1e300, True, [], ["x"], {}, {"a": 1}, "\u0000", "x" * 60_000, "é\u202e"):
        answer = await author.http.post(
            "/api/v1/oauth/create-code", json={"clientID": client[0], field: value}
        )
        assert answer.status_code < 500, (value, answer.text)
        if answer.status_code >= 400:
            assert answer.json()["error"], value
            assert answer.json()["error_description"], value


@pytest.mark.parametrize("permissions", [[], ["manage_rivals"], ["no such thing"]])
async def test_create_code_calls_its_fields_by_their_own_names(
    provider: Provider, author: Person, permissions: list[str]
) -> None:
    """What the protocol calls ``scope`` is ``permissions`` there."""
    client = await _client(provider, author)
    body = {"clientID": client[0], "permissions": permissions}
    answer = await author.http.post("/api/v1/oauth/create-code", json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    assert answer.json()["error_description"].startswith("permissions ")


@pytest.mark.spec(
    "RFC 6749", "3.2", "Requests are form-encoded; other bodies are refused in the protocol's shape"
)
@pytest.mark.parametrize("path", [*FIELDS, "/api/v1/oauth/create-code", "/api/v1/oauth/register"])
async def test_ac_10_odd_bodies_are_refused_everywhere(provider: Provider, author: Person, path: str) -> None:
    """With the error shape of the OAuth endpoints."""
    for media_type, body in ODD_BODIES:
        answer = await author.http.post(path, content=body, headers={"Content-Type": media_type})
        assert 400 <= answer.status_code < 500, (media_type, body[:40], answer.text)
        assert answer.json()["error"]
        assert answer.headers["Cache-Control"] == "no-store"


async def test_ac_59_a_compressed_body_is_no_way_around_the_limit(provider: Provider) -> None:
    """A megabyte of zeros deflates to nothing."""
    body = zlib.compress(b"code=" + b"0" * 10_000_000)
    answer = await provider.site.http.post(
        TOKEN,
        content=body,
        headers={"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "deflate"},
    )
    assert 400 <= answer.status_code < 500


@pytest.mark.spec("RFC 6749", "10.3", "Keys, codes and secrets are kept and logged nowhere in clear")
async def test_ac_50_no_secret_is_kept_or_logged(
    provider: Provider, author: Person, person: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    """After every flow, good and bad, with debug logs on: not in Redis, not in PostgreSQL, not in the logs."""
    client = await author.create_client()
    verifier = "verifier-" + "A" * 43
    pkce = {"codeChallenge": challenge_of(verifier), "codeChallengeMethod": "S256"}
    code = await person.create_code(client, state="s", **pkce)
    issued = await provider.site.exchange(client, code, code_verifier=verifier)
    token = issued.json()["access_token"]
    second = await person.create_code(client)
    headers = {"Idempotency-Key": "idempotency-of-the-test"}
    form = {"grant_type": "authorization_code", "code": second}
    again = await provider.site.http.post(TOKEN, data=form, auth=client.basic, headers=headers)
    consent = await shown(provider, person, "request_auth", ("clientID", client.client_id))
    arrival = await accept(provider, person, consent)
    for wrong in (code, arrival.code + "x", second):
        await provider.site.exchange(client, wrong, code_verifier=verifier[::-1])
    await provider.site.http.post(TOKEN, data=form, auth=(client.client_id, "wrong-secret-of-the-test"))
    await provider.site.http.post(TOKEN + f"?code={code}", data=form, auth=client.basic)
    await provider.site.http.post("/api/v1/oauth/revoke", data={"token": token}, auth=client.basic)
    await provider.resources.activity_log.flush()
    secrets = {
        "code": code,
        "second code": second,
        "code of the page": arrival.code,
        "verifier": verifier,
        "client secret": str(client.secret),
        "wrong secret": "wrong-secret-of-the-test",
        "key": token,
        "derived key": again.json()["access_token"],
        "session": person.http.cookies["latchkey_session"],
        "idempotency key": "idempotency-of-the-test",
    }
    places = {
        "redis": await _everything_in_redis(provider),
        "postgres": await _everything_in_postgres(provider),
        "logs": "".join(capsys.readouterr()),
    }
    assert all(places.values())
    found = [
        (what, where) for what, secret in secrets.items() for where, text in places.items() if secret in text
    ]
    assert found == []


@pytest.mark.spec("RFC 6749", "5.1", "Cache-Control: no-store and Pragma: no-cache, on errors too")
async def test_every_answer_of_the_oauth_endpoints_forbids_caching(
    provider: Provider, author: Person
) -> None:
    """Also errors before any handler (AC-60)."""
    client = await _client(provider, author)
    answers: list[httpx.Response] = [
        await provider.site.http.get(TOKEN),
        await provider.site.http.post(TOKEN),
        await provider.site.http.post(TOKEN, data={"x": "y"}, auth=client),
        await provider.site.http.post("/api/v1/oauth/nothing-here"),
        await provider.site.http.post("/api/v1/oauth/par", data={"response_type": "code"}, auth=client),
    ]
    for answer in answers:
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Pragma"] == "no-cache"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Request-ID"]
        assert "aiohttp" not in answer.headers["Server"]
        assert "set-cookie" not in answer.headers


_made: dict[str, tuple[str, str]] = {}


async def _client(provider: Provider, author: Person) -> tuple[str, str]:
    """One client for all cases."""
    if author.username not in _made:
        _made[author.username] = (await author.create_client(redirectUri=CALLBACK)).basic
    return _made[author.username]


async def _everything_in_redis(provider: Provider) -> str:
    redis = provider.resources.bus.redis
    texts = []
    for key in await redis.execute("KEYS", "*"):
        kind = (await redis.execute("TYPE", key)).decode()
        command = {
            "string": ("GET", key),
            "hash": ("HGETALL", key),
            "list": ("LRANGE", key, "0", "-1"),
            "zset": ("ZRANGE", key, "0", "-1"),
            "set": ("SMEMBERS", key),
            "stream": ("XRANGE", key, "-", "+"),
        }[kind]
        texts.append(f"{key!r} {await redis.execute(*command)!r}")
    return "\n".join(texts)


async def _everything_in_postgres(provider: Provider) -> str:
    tables = await provider.sql(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('auth', 'keys')"
    )
    texts = []
    for schema, table in tables:
        rows = await provider.sql(f'SELECT to_jsonb(t) AS row FROM "{schema}"."{table}" AS t')
        texts += [json.dumps(row["row"]) for row in rows]
    return "\n".join(texts)
