"""Authorization server metadata (RFC 8414)."""

from __future__ import annotations

import pytest

from services.auth_api.oauth.metadata import metadata


@pytest.mark.spec("RFC 8414", "2", "The members of the metadata")
def test_the_metadata_lists_what_works() -> None:
    """And the issuer is the public URL, byte for byte."""
    document = metadata("https://k.example", ["a", "b"], registration=False)
    assert document["issuer"] == "https://k.example"
    assert document["authorization_endpoint"] == "https://k.example/oauth/authorize"
    assert document["token_endpoint"] == "https://k.example/api/v1/oauth/token"
    assert document["response_types_supported"] == ["code"]
    assert document["response_modes_supported"] == ["query"]
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["scopes_supported"] == ["a", "b"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert "urn:ietf:params:oauth:grant-type:device_code" in document["grant_types_supported"]
    assert document["token_endpoint_auth_methods_supported"] == [
        "client_secret_basic",
        "client_secret_post",
        "none",
    ]
    assert "registration_endpoint" not in document


@pytest.mark.spec("RFC 7591", "3", "The registration endpoint is listed only where it is on")
def test_registration_is_listed_only_when_on() -> None:
    """It is off by default."""
    document = metadata("https://k.example", [], registration=True)
    assert document["registration_endpoint"] == "https://k.example/api/v1/oauth/register"
