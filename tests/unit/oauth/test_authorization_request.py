"""The authorization request (RFC 6749 §4.1.1): what is checked, in which order."""

from __future__ import annotations

from typing import Any

import pytest

from services.auth_api.oauth.authorization_request import (
    AUTHORIZE,
    CREATE_CODE,
    REQUEST_AUTH,
    AuthorizationRequest,
    ParameterNames,
    authorization_response,
    check_permissions,
    check_request,
    client_id_of,
    sort_parameters,
    target_of,
)
from services.auth_api.oauth.errors import OAuthError
from shared.contracts.clients import ClientView

CALLBACK = "https://client.example/cb"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
PLAIN = [("response_type", "code"), ("client_id", "abc")]


PERMISSIONS = ("customise_score", "submit_score")


def client_with(**fields: Any) -> ClientView:
    """A registered client: the seed's, with the given fields instead of its own."""
    usual = {
        "client_id": "abc",
        "name": "Epic Games",
        "author": 1,
        "author_name": "a",
        "created_on": 0,
        "redirect_uris": (CALLBACK, "https://client.example/other"),
        "requested_permissions": PERMISSIONS,
    }
    return ClientView.model_validate({**usual, **fields})


def checked(
    *pairs: tuple[str, str], client: ClientView | None = None, names: ParameterNames = AUTHORIZE
) -> AuthorizationRequest:
    """The request after every check."""
    client = client or client_with()
    parameters = sort_parameters(pairs, names)
    client_id_of(parameters)
    return check_request(parameters, client, target_of(parameters, client), PERMISSIONS)


def test_the_plainest_request() -> None:
    """The first redirect URI, every permission, nothing carried."""
    request = checked(*PLAIN)
    assert request.target is not None
    assert (request.target.redirect_uri, request.target.sent) == (CALLBACK, False)
    assert request.permissions == ("customise_score", "submit_score")
    assert (request.state, request.context, request.challenge, request.silent) == (None, None, None, False)


def test_the_link_of_the_seed() -> None:
    """`/oauth/request-auth?clientID=…&context=…` asks for the same."""
    request = checked(("clientID", "abc"), ("context", "42"), names=REQUEST_AUTH)
    assert (request.client_id, request.context, request.state) == ("abc", "42", None)
    assert request.permissions == ("customise_score", "submit_score")


def test_everything_at_once() -> None:
    """What a careful client sends."""
    request = checked(
        *PLAIN,
        ("redirect_uri", "https://client.example/other"),
        ("scope", "submit_score"),
        ("state", "s t&u#v%20+é"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("response_mode", "query"),
        ("prompt", "consent"),
        ("unknown", "ignored"),
    )
    assert request.target is not None
    assert request.target.sent
    assert request.permissions == ("submit_score",)
    assert request.state == "s t&u#v%20+é"
    assert request.challenge == CHALLENGE


@pytest.mark.spec("RFC 6749", "4.1.2.1", "Without a good client and redirect URI nothing is redirected")
@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [("client_id", "")],
        [("client_id", "abc"), ("client_id", "abc")],
        [("client_id", "abc"), ("redirect_uri", "https://evil.example/")],
        [("client_id", "abc"), ("redirect_uri", CALLBACK), ("redirect_uri", "https://evil.example/")],
        [("client_id", "abc"), ("redirect_uri", "https://evil.example/"), ("redirect_uri", CALLBACK)],
        [("client_id", "abc"), ("redirect_uri", CALLBACK), ("redirect_uri", CALLBACK)],
    ],
)
def test_ac_17_client_and_target_come_first(pairs: list[tuple[str, str]]) -> None:
    """These fail before there is anywhere to redirect to, whatever else is wrong."""
    parameters = sort_parameters([*pairs, ("response_type", "token"), ("scope", "*")], AUTHORIZE)
    with pytest.raises(OAuthError, match="invalid_request"):
        _ = client_id_of(parameters), target_of(parameters, client_with())


def test_a_client_without_redirect_uris_has_other_flows_only() -> None:
    """It cannot be sent back anywhere."""
    with pytest.raises(OAuthError, match="invalid_request"):
        checked(*PLAIN, client=client_with(redirect_uris=()))


@pytest.mark.spec("RFC 6749", "4.1.2.1", "Each error has its code")
@pytest.mark.parametrize(
    ("pairs", "code"),
    [
        ([("client_id", "abc")], "invalid_request"),
        ([("client_id", "abc"), ("response_type", "")], "invalid_request"),
        ([("client_id", "abc"), ("response_type", "token")], "unsupported_response_type"),
        ([("client_id", "abc"), ("response_type", "code token")], "unsupported_response_type"),
        ([*PLAIN, ("state", "a"), ("state", "b")], "invalid_request"),
        ([*PLAIN, ("scope", "submit_score"), ("scope", "submit_score")], "invalid_request"),
        ([*PLAIN, ("scope", "delete_score")], "invalid_scope"),
        ([*PLAIN, ("scope", "a  b")], "invalid_scope"),
        ([*PLAIN, ("response_mode", "fragment")], "invalid_request"),
        ([*PLAIN, ("response_mode", "form_post")], "invalid_request"),
        ([*PLAIN, ("prompt", "none login")], "invalid_request"),
        ([*PLAIN, ("request", "eyJ")], "request_not_supported"),
        ([*PLAIN, ("code_challenge", CHALLENGE)], "invalid_request"),
        ([*PLAIN, ("code_challenge", CHALLENGE), ("code_challenge_method", "plain")], "invalid_request"),
        ([*PLAIN, ("code_challenge_method", "S256")], "invalid_request"),
    ],
)
def test_ac_21_each_fault_has_its_error(pairs: list[tuple[str, str]], code: str) -> None:
    """And the description names the parameter."""
    with pytest.raises(OAuthError) as refused:
        checked(*pairs)
    assert refused.value.code == code


@pytest.mark.spec("RFC 7636", "4.4.1", "A request without the challenge it needs is invalid_request")
def test_a_public_client_needs_a_challenge_in_every_flow() -> None:
    """Each in its own spelling."""
    with pytest.raises(OAuthError) as refused:
        checked(*PLAIN, client=client_with(public=True))
    assert "code_challenge" in refused.value.description
    with pytest.raises(OAuthError) as refused:
        checked(("clientID", "abc"), client=client_with(public=True), names=CREATE_CODE)
    assert "codeChallenge" in refused.value.description


def test_prompt_none_is_recognised() -> None:
    """It is refused later, when it is known whether anybody is signed in."""
    assert checked(*PLAIN, ("prompt", "none")).silent


def test_a_permission_taken_away_since_is_noticed_at_consent() -> None:
    """From the client or from the catalogue."""
    known = ("customise_score", "submit_score")
    check_permissions(known, known, known)
    for registered, catalogue in ((known[:1], known), (known, known[:1])):
        with pytest.raises(OAuthError, match="invalid_scope"):
            check_permissions(known, registered, catalogue)


@pytest.mark.spec("RFC 9207", "2", "Success and error responses carry iss")
def test_ac_22_every_response_names_its_issuer() -> None:
    """State and context come back as they were given, and only if they were."""
    issuer = "https://keys.example"
    assert authorization_response(issuer, state="s", context="c") == (
        ("state", "s"),
        ("context", "c"),
        ("iss", issuer),
    )
    assert authorization_response(issuer, state="s", context=None, error="access_denied") == (
        ("error", "access_denied"),
        ("state", "s"),
        ("iss", issuer),
    )
    refused = authorization_response(
        issuer, state=None, context=None, error="invalid_scope", description="no such"
    )
    assert refused == (
        ("error", "invalid_scope"),
        ("error_description", "no such"),
        ("iss", issuer),
    )
