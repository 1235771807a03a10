"""The rules under whatever hypothesis thinks of: they refuse or accept, and never break."""

from __future__ import annotations

import re
from base64 import b64encode
from urllib.parse import parse_qsl, quote_plus, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.auth_api.oauth.authorization_request import (
    AUTHORIZE,
    check_request,
    client_id_of,
    sort_parameters,
    target_of,
)
from services.auth_api.oauth.client_authentication import read_client_credentials
from services.auth_api.oauth.client_registration import read_registration
from services.auth_api.oauth.errors import OAuthError
from services.auth_api.oauth.parameters import Parameters, collect, collect_json
from services.auth_api.oauth.pkce import challenge_of, check_verifier
from services.auth_api.oauth.redirect_uri import (
    RESERVED_PARAMETERS,
    explain_mismatch,
    fault_of_redirect_uri,
    match_redirect_uri,
)
from services.auth_api.oauth.scope import narrow, parse_scope
from services.auth_api.oauth.token import KNOWN, read_token_request
from shared.user_code import format_user_code, normalise_user_code
from shared.web.error_renderers import description
from shared.web.redirects import append_parameters
from tests.unit.oauth.test_authorization_request import PERMISSIONS, client_with

REGISTERED = ("https://client.example/cb", "http://127.0.0.1/cb", "com.example.app:/cb")

uris = st.one_of(
    st.text(max_size=80),
    st.from_regex(r"\A(https?|com\.example\.app|javascript):/{0,3}[ -~]{0,40}\Z"),
    st.builds("".join, st.tuples(st.sampled_from(REGISTERED), st.text(max_size=6))),
)
verifiers = st.text("ABCxyz0189-._~", min_size=43, max_size=128)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.spec("RFC 9700", "2.1", "Whatever is asked for, it is a registered redirect URI or refused")
@given(uris)
def test_a_matched_redirect_uri_differs_from_a_registered_one_in_the_port_alone(requested: str) -> None:
    """And a refused one can always be explained."""
    matched = match_redirect_uri(REGISTERED, requested)
    if matched is None:
        assert explain_mismatch(REGISTERED, requested)
    else:
        assert matched == requested
        assert re.sub(r"^(http://127\.0\.0\.1):\d+", r"\1", requested) in REGISTERED


@pytest.mark.spec(
    "RFC 6749", "4.1.2", "The client reads exactly the parameters that were added, whatever its redirect URI"
)
@given(uris, st.text(max_size=30))
@example("https://a.example/?x=1&", "s")
@example("a.0://[", "s")
def test_what_may_be_registered_leads_where_it_says(uri: str, state: str) -> None:
    """A browser goes to that very host, and the client reads exactly what we appended."""
    if fault_of_redirect_uri(uri) is not None:
        return
    assert uri.isascii()
    assert uri.isprintable()
    parts = urlsplit(uri)
    assert (
        parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1") or "." in parts.scheme
    )
    assert not parts.fragment
    assert "@" not in parts.netloc
    location = append_parameters(uri, (("code", "c"), ("state", state), ("iss", "i")))
    assert location.startswith(uri)
    assert urlsplit(location).hostname == parts.hostname
    pairs = parse_qsl(urlsplit(location).query, keep_blank_values=True)
    assert pairs[-3:] == [("code", "c"), ("state", state), ("iss", "i")]
    assert not {name for name, _ in pairs[:-3]} & RESERVED_PARAMETERS


@pytest.mark.spec("RFC 6749", "2.3.1", "Any form-encoded credentials are read as they were meant")
@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_form_encoded_credentials_come_back(client_id: str, secret: str) -> None:
    """Whatever letters they hold, except controls."""
    pair = f"{quote_plus(client_id, errors='replace')}:{quote_plus(secret, errors='replace')}"
    try:
        found = read_client_credentials([f"Basic {b64encode(pair.encode()).decode()}"], Parameters({}))
    except OAuthError as error:
        assert error.code == "invalid_client"  # noqa: PT017 - only one of the two outcomes is an error
        assert any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in client_id + secret)
    else:
        expected = [text.encode("utf-8", "replace").decode() for text in (client_id, secret)]
        assert [found.client_id, found.secret] == expected


@given(st.lists(st.text(max_size=40), max_size=3), st.text(max_size=10), st.text(max_size=10))
def test_any_authorization_header_is_credentials_or_a_refusal(
    headers: list[str], client_id: str, secret: str
) -> None:
    """Nothing else escapes."""
    body = {name: value for name, value in (("client_id", client_id), ("client_secret", secret)) if value}
    try:
        assert read_client_credentials(headers, Parameters(body)).client_id
    except OAuthError as error:
        assert error.code in ("invalid_client", "invalid_request")  # noqa: PT017 - see above


@pytest.mark.spec("RFC 6749", "5.2", "Any form is a token request or a named error")
@given(st.lists(st.tuples(st.sampled_from([*KNOWN, "other", "code[]"]), st.text(max_size=8)), max_size=12))
def test_any_form_is_a_token_request_or_a_named_refusal(pairs: list[tuple[str, str]]) -> None:
    """A repeated parameter never has a value; the description can be sent as it is."""
    parameters = collect(pairs, KNOWN)
    names = [name for name, _ in pairs]
    for name in KNOWN:
        if names.count(name) > 1:
            assert parameters.get(name) is None
    try:
        parameters.refuse_repeated()
        read_token_request(parameters)
    except OAuthError as error:
        assert description(error.description) == error.description  # noqa: PT017 - see above


@given(st.dictionaries(st.sampled_from([*KNOWN, "other"]), json_values, max_size=6))
def test_any_json_object_is_parameters_or_a_named_refusal(document: dict[str, object]) -> None:
    """Only text counts."""
    try:
        parameters = collect_json(document, KNOWN)
    except OAuthError as error:
        assert error.code == "invalid_request"  # noqa: PT017 - see above
    else:
        assert all(document[name] == value for name, value in parameters.values.items())


@given(st.lists(st.tuples(st.sampled_from([*AUTHORIZE, "x"]), st.text(max_size=12) | uris), max_size=10))
def test_any_query_is_a_request_a_page_or_a_redirect(pairs: list[tuple[str, str]]) -> None:
    """And a target is always one that the client registered."""
    client = client_with(redirect_uris=REGISTERED)
    parameters = sort_parameters(pairs, AUTHORIZE)
    try:
        client_id_of(parameters)
        target = target_of(parameters, client)
    except OAuthError:
        return
    assert match_redirect_uri(REGISTERED, target.redirect_uri) == target.redirect_uri
    try:
        request = check_request(parameters, client, target, PERMISSIONS)
    except OAuthError as error:
        assert error.code  # noqa: PT017 - see above
    else:
        assert set(request.permissions) <= set(client.requested_permissions)
        assert request.permissions


@pytest.mark.spec("RFC 6749", "3.3", "Any scope is refused or understood as it was sent")
@given(st.text(max_size=60))
def test_scope_is_refused_or_comes_back(scope: str) -> None:
    """What was parsed formats to what was sent."""
    try:
        parsed = parse_scope(scope)
    except OAuthError:
        return
    assert parsed is not None
    assert " ".join(parsed) == scope
    assert narrow(parsed, (*parsed, "more")) == tuple(name for name in (*parsed, "more") if name in parsed)


@pytest.mark.spec("RFC 7636", "4.6", "A verifier meets its own challenge and no other")
@given(verifiers, verifiers)
def test_a_verifier_meets_its_own_challenge_alone(verifier: str, other: str) -> None:
    """SHA-256 has no second one that anybody knows."""
    check_verifier(challenge_of(verifier), verifier)
    if other != verifier:
        try:
            check_verifier(challenge_of(verifier), other)
        except OAuthError as error:
            assert error.code == "invalid_grant"  # noqa: PT017 - see above
        else:
            raise AssertionError(f"{other} meets the challenge of {verifier}")


@given(st.text(max_size=80))
def test_a_typed_user_code_is_none_or_canonical(typed: str) -> None:
    """Normalising twice changes nothing."""
    code = normalise_user_code(typed)
    if code is not None:
        assert normalise_user_code(format_user_code(code).lower()) == code


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "redirect_uris",
                "client_name",
                "client_uri",
                "scope",
                "grant_types",
                "response_types",
                "token_endpoint_auth_method",
                "jwks",
            ]
        ),
        json_values | st.lists(uris, max_size=3),
        max_size=6,
    )
)
def test_any_client_metadata_is_a_registration_or_a_named_refusal(document: dict[str, object]) -> None:
    """Nothing is coerced, and no redirect URI gets in that the rules forbid."""
    try:
        registration = read_registration(document, ("customise_score",))
    except OAuthError as error:
        assert error.code in ("invalid_redirect_uri", "invalid_client_metadata")  # noqa: PT017 - see above
    else:
        assert all(fault_of_redirect_uri(uri) is None for uri in registration.redirect_uris)
