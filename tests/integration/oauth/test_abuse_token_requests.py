"""Abuse cases 8 to 11: what may arrive at the token endpoint, by the numbers of the catalogue."""

from __future__ import annotations

import pytest

from tests.harness.site import CALLBACK, Person
from tests.integration.oauth.conftest import Provider
from tests.integration.oauth.token_requests import TOKEN, raw, refused, send


@pytest.mark.spec("RFC 6749", "5.2", "A code that is none is invalid_grant")
@pytest.mark.parametrize(
    "code", ["x", "x" * 60_000, "é", "*", "a:b", "a\r\nb", "'; DROP TABLE keys.api_keys", "{}", "\U0001d7d9"]
)
async def test_ac_08_odd_codes_are_invalid_grant(provider: Provider, author: Person, code: str) -> None:
    """Whatever their bytes are."""
    client = await author.create_client()
    refused(
        await send(provider, client, [("grant_type", "authorization_code"), ("code", code)]), "invalid_grant"
    )


@pytest.mark.parametrize(
    "body",
    [
        b"grant_type=authorization_code&code=",
        b"grant_type=authorization_code",
        b"grant_type=authorization_code&code[]=x",
        b"grant_type=authorization_code&code=%00",
        b"grant_type=authorization_code&code=%ff",
        b"grant_type=authorization_code&code=%c0%af",
        b"grant_type=authorization_code&code=%ed%a0%80",
        b"grant_type=authorization_code&code=\xff",
    ],
)
async def test_ac_08_what_is_no_text_is_invalid_request(
    provider: Provider, author: Person, body: bytes
) -> None:
    """And the field is named."""
    client = await author.create_client()
    answer = await raw(provider, client, body)
    refused(answer, "invalid_request")
    assert "code" in answer.json()["error_description"]


async def test_ac_08_a_megabyte_is_413(provider: Provider, author: Person) -> None:
    """Before anything is looked at."""
    client = await author.create_client()
    answer = await raw(provider, client, b"grant_type=authorization_code&code=" + b"x" * 1_048_576)
    refused(answer, "invalid_request", status=413)


@pytest.mark.spec("RFC 6749", "3.2", "Repeated parameters are refused and spend nothing")
async def test_ac_09_repeated_parameters_spend_nothing(
    provider: Provider, author: Person, person: Person
) -> None:
    """Neither the first nor the last one counts."""
    client = await author.create_client()
    code = await person.create_code(client)
    form = [("grant_type", "authorization_code"), ("code", code)]
    for extra in (
        ("code", "b"),
        ("code", code),
        ("code", ""),
        ("grant_type", "authorization_code"),
    ):
        for pairs in ([*form, extra], [extra, *form]):
            answer = await send(provider, client, pairs)
            refused(answer, "invalid_request")
            assert extra[0] in answer.json()["error_description"]
    twice = [("client_id", client.client_id), ("client_id", client.client_id)]
    refused(await send(provider, client, [*form, *twice]), "invalid_request")
    twice = [("redirect_uri", CALLBACK), ("redirect_uri", "https://evil.example/")]
    refused(await send(provider, client, [*form, *twice]), "invalid_request")
    assert (await send(provider, client, form)).status_code == 200


@pytest.mark.spec("RFC 6749", "3.2", "Parameters in the query string are refused")
@pytest.mark.parametrize(
    "name", ["code", "client_secret", "client_id", "grant_type", "redirect_uri", "code_verifier"]
)
async def test_ac_09_nothing_is_taken_from_the_query_string(
    provider: Provider, author: Person, person: Person, name: str
) -> None:
    """URLs end up in logs."""
    client = await author.create_client()
    code = await person.create_code(client)
    form = [("grant_type", "authorization_code"), ("code", code)]
    answer = await send(provider, client, form, path=f"{TOKEN}?{name}=x")
    refused(answer, "invalid_request")
    assert name in answer.json()["error_description"]
    assert (await send(provider, client, form, path=f"{TOKEN}?utm_source=x")).status_code == 200


@pytest.mark.parametrize(
    "media_type",
    [
        None,
        "text/plain",
        "application/xml",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/x-www-form-urlencoded; charset=nope",
        "application/x-www-form-urlencoded; charset=utf-16",
        "application/jsonp",
    ],
)
async def test_ac_10_other_media_types_are_415(
    provider: Provider, author: Person, media_type: str | None
) -> None:
    """And the answer says what was sent, rather than that the code is missing."""
    client = await author.create_client()
    answer = await raw(provider, client, b"grant_type=authorization_code&code=x", media_type=media_type)
    refused(answer, "invalid_request", status=415)
    assert "Content-Type" in answer.json()["error_description"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'"x"',
        b"{",
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"code": 1' + b"0" * 5_000 + b"}",
        b'{"code": "a", "code": "b"}',
        b'{"x": 1, "x": 2}',
        b'{"code": "\\u0000"}',
        b'{"code": "\\ud800"}',
        b'{"code": "\xff"}',
        b'{"code": NaN}',
        b"\xef\xbb\xbf{}",
    ],
)
async def test_ac_10_malformed_json_is_400(provider: Provider, author: Person, body: bytes) -> None:
    """In the envelope that a JSON client reads."""
    client = await author.create_client()
    answer = await raw(provider, client, body, media_type="application/json")
    refused(answer, "invalid_request")
    assert answer.json()["success"] is False
    assert answer.json()["description"] == answer.json()["error_description"]


@pytest.mark.parametrize("value", [1, True, ["x"], {"a": 1}, 1.5])
@pytest.mark.parametrize(
    "name", ["grant_type", "code", "redirect_uri", "client_id", "client_secret", "code_verifier"]
)
async def test_ac_10_json_fields_must_be_text(
    provider: Provider, author: Person, name: str, value: object
) -> None:
    """The wrong field is named."""
    client = await author.create_client()
    body = {"grant_type": "authorization_code", "code": "x", name: value}
    answer = await provider.site.http.post(TOKEN, json=body, auth=client.basic)
    refused(answer, "invalid_request")
    assert name in answer.json()["error_description"]


@pytest.mark.spec("RFC 6749", "3.2", "The token endpoint takes POST alone")
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"])
@pytest.mark.parametrize(
    "path", [TOKEN, "/api/v1/oauth/revoke", "/api/v1/oauth/par", "/api/v1/oauth/create-code"]
)
async def test_ac_11_other_methods_are_405(provider: Provider, path: str, method: str) -> None:
    """With Allow, in the shape of the protocol's errors."""
    answer = await provider.site.http.request(method, path)
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
    if method != "HEAD":
        assert answer.json()["error"] == "invalid_request"
        assert answer.json()["error_description"]


@pytest.mark.spec("RFC 6749", "5.2", "grant_type is checked")
@pytest.mark.parametrize(
    ("grant_type", "error"),
    [
        (None, "invalid_request"),
        ("", "invalid_request"),
        ("password", "unsupported_grant_type"),
        ("client_credentials", "unsupported_grant_type"),
        ("refresh_token", "unsupported_grant_type"),
        ("authorization_code ", "unsupported_grant_type"),
    ],
)
async def test_ac_11_unknown_grants_are_named(
    provider: Provider, author: Person, grant_type: str | None, error: str
) -> None:
    """Missing is another error than unknown."""
    client = await author.create_client()
    pairs = [("code", "x")] if grant_type is None else [("code", "x"), ("grant_type", grant_type)]
    refused(await send(provider, client, pairs), error)
