"""Client metadata as programs send it (RFC 7591 §2)."""

from __future__ import annotations

from typing import Any

import pytest

from services.auth_api.oauth.client_registration import read_registration, registration_response
from services.auth_api.oauth.errors import OAuthError
from services.auth_api.oauth.token import DEVICE_CODE

CATALOGUE = ("customise_score", "submit_score")
CALLBACK = "https://client.example/cb"


@pytest.mark.spec("RFC 7591", "2", "Defaults of client metadata")
def test_the_least_metadata() -> None:
    """A redirect URI is enough; unknown members are ignored."""
    registration = read_registration({"redirect_uris": [CALLBACK], "logo_uri": 1, "x": {}}, CATALOGUE)
    assert registration.redirect_uris == (CALLBACK,)
    assert registration.permissions == CATALOGUE
    assert (registration.method, registration.public) == ("client_secret_basic", False)
    assert registration.grant_types == ("authorization_code",)


@pytest.mark.spec("RFC 7591", "3.2.1", "The response tells what was registered")
def test_the_response_tells_what_counts() -> None:
    """What we do not support was left out; the secret never expires; a public client has none."""
    registration = read_registration(
        {
            "redirect_uris": [CALLBACK],
            "client_name": "A program",
            "client_uri": "https://client.example",
            "grant_types": ["refresh_token", DEVICE_CODE, "authorization_code"],
            "response_types": ["code", "token"],
            "token_endpoint_auth_method": "client_secret_post",
            "scope": "submit_score",
        },
        CATALOGUE,
    )
    answer = registration_response(
        registration, client_id="abc", client_secret="s", issued_on=1_795_456_269_123
    )
    assert answer == {
        "client_id": "abc",
        "client_id_issued_at": 1_795_456_269,
        "client_secret": "s",
        "client_secret_expires_at": 0,
        "client_name": "A program",
        "client_uri": "https://client.example",
        "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", DEVICE_CODE],
        "response_types": ["code"],
        "token_endpoint_auth_method": "client_secret_post",
        "scope": "submit_score",
    }
    public = read_registration(
        {"grant_types": [DEVICE_CODE], "token_endpoint_auth_method": "none"}, CATALOGUE
    )
    bare = registration_response(public, client_id="abc", client_secret=None, issued_on=0)
    assert public.public
    assert "client_secret" not in bare
    assert bare["response_types"] == []


@pytest.mark.spec("RFC 7591", "3.2.2", "invalid_redirect_uri and invalid_client_metadata")
@pytest.mark.parametrize(
    ("document", "error", "named"),
    [
        ({}, "invalid_redirect_uri", "redirect_uris"),
        ({"redirect_uris": []}, "invalid_redirect_uri", "redirect_uris"),
        ({"redirect_uris": ["http://client.example/cb"]}, "invalid_redirect_uri", "http only"),
        ({"redirect_uris": [CALLBACK] * 11}, "invalid_redirect_uri", "at most"),
        ({"redirect_uris": CALLBACK}, "invalid_client_metadata", "redirect_uris"),
        ({"redirect_uris": [1]}, "invalid_client_metadata", "redirect_uris"),
        ({"redirect_uris": [CALLBACK], "scope": "delete_score"}, "invalid_client_metadata", "scope"),
        ({"redirect_uris": [CALLBACK], "scope": ["x"]}, "invalid_client_metadata", "scope"),
        ({"redirect_uris": [CALLBACK], "client_name": 1}, "invalid_client_metadata", "client_name"),
        (
            {"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "private_key_jwt"},
            "invalid_client_metadata",
            "method",
        ),
        (
            {"redirect_uris": [CALLBACK], "grant_types": ["password"]},
            "invalid_client_metadata",
            "grant_types",
        ),
        (
            {"redirect_uris": [CALLBACK], "response_types": ["token"]},
            "invalid_client_metadata",
            "response_types",
        ),
    ],
)
def test_wrong_metadata_is_named(document: dict[str, Any], error: str, named: str) -> None:
    """By the RFC's code and the field."""
    with pytest.raises(OAuthError) as refused:
        read_registration(document, CATALOGUE)
    assert refused.value.code == error
    assert named in refused.value.description
