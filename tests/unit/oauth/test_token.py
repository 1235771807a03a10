"""The token request and response (RFC 6749 §4.1.3, §5.1)."""

from __future__ import annotations

import pytest

from services.auth_api.oauth.errors import OAuthError
from services.auth_api.oauth.parameters import Parameters
from services.auth_api.oauth.token import (
    DEVICE_CODE,
    IssuedKey,
    enveloped,
    enveloped_error,
    read_token_request,
    token_response,
)
from services.auth_api.token.idempotency import read_idempotency_key


@pytest.mark.spec(
    "RFC 6749", "5.2", "A missing grant_type is invalid_request, an unknown one unsupported_grant_type"
)
@pytest.mark.parametrize(
    ("values", "code", "named"),
    [
        ({}, "invalid_request", "grant_type"),
        ({"grant_type": "authorization_code"}, "invalid_request", "code"),
        ({"grant_type": DEVICE_CODE, "code": "x"}, "invalid_request", "device_code"),
        ({"grant_type": "password"}, "unsupported_grant_type", "grant_type"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type", "grant_type"),
        ({"grant_type": "refresh_token"}, "unsupported_grant_type", "grant_type"),
        ({"grant_type": "AUTHORIZATION_CODE"}, "unsupported_grant_type", "grant_type"),
        (
            {"grant_type": "authorization_code", "code": "x", "code_verifier": "short"},
            "invalid_request",
            "verifier",
        ),
    ],
)
def test_ac_11_each_grant_needs_its_fields(values: dict[str, str], code: str, named: str) -> None:
    """And the refusal names the field."""
    with pytest.raises(OAuthError) as refused:
        read_token_request(Parameters(values))
    assert refused.value.code == code
    assert named in refused.value.description


def test_a_token_request_shows_no_secret() -> None:
    """Its repr may end up in a traceback."""
    request = read_token_request(
        Parameters({"grant_type": "authorization_code", "code": "CODE", "code_verifier": "V" * 43})
    )
    assert "CODE" not in repr(request)
    assert "VVV" not in repr(request)


@pytest.mark.spec("RFC 6749", "5.1", "The members of a successful response")
def test_the_response_to_a_form_is_bare() -> None:
    """Exactly what interface.md shows, in RFC 6749's names and ours."""
    key = IssuedKey("lku_x", "kid", 2, "Epic Games", ("customise_score",), "ABCDEF")
    assert token_response(key) == {
        "access_token": "lku_x",
        "token_type": "Bearer",
        "scope": "customise_score",
        "userID": 2,
        "identifier": "Epic Games",
        "permissions": {"customise_score": True},
        "fromAPIClient": "ABCDEF",
        "keyID": "kid",
    }
    assert token_response(IssuedKey("t", "k", 1, "n", ("a", "b"), "c", 60))["expires_in"] == 60
    assert "lku_x" not in repr(key)


def test_the_response_to_json_has_the_envelope_of_the_seed() -> None:
    """Its integrators read ``body.token``."""
    bare = token_response(IssuedKey("lku_x", "kid", 2, "Epic Games", ("customise_score",), "ABCDEF"))
    answer = enveloped(bare)
    assert answer["success"] is True
    assert isinstance(answer["description"], str)
    assert answer["body"] == {
        "userID": 2,
        "token": "lku_x",
        "identifier": "Epic Games",
        "permissions": {"customise_score": True},
        "fromAPIClient": "ABCDEF",
    }
    assert {name: answer[name] for name in bare} == bare
    error = enveloped_error({"error": "invalid_grant", "error_description": "no"})
    assert error == {
        "error": "invalid_grant",
        "error_description": "no",
        "success": False,
        "description": "no",
    }


def test_an_idempotency_key_is_bare_or_quoted() -> None:
    """Both spellings are the same key."""
    assert read_idempotency_key([]) is None
    assert read_idempotency_key(["abc-1"]) == "abc-1"
    assert read_idempotency_key([' "abc-1" ']) == "abc-1"
    assert read_idempotency_key(["x" * 255]) == "x" * 255
    assert read_idempotency_key([f'"{"x" * 255}"']) == "x" * 255


@pytest.mark.parametrize("headers", [[""], ['""'], ["a b"], ["é"], ["x" * 256], ['"a'], ["a", "a"], ["a\tb"]])
def test_a_malformed_idempotency_key_is_invalid_request(headers: list[str]) -> None:
    """Rather than silently none."""
    with pytest.raises(OAuthError, match="invalid_request"):
        read_idempotency_key(headers)
