"""Client authentication (RFC 6749 §2.3, §3.2.1)."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import quote_plus

import pytest

from services.auth_api.oauth.client_authentication import check_secret_use, read_client_credentials
from services.auth_api.oauth.errors import OAuthError
from services.auth_api.oauth.parameters import Parameters

NOTHING = Parameters({})


def basic(client_id: str, secret: str, scheme: str = "Basic") -> str:
    """The header as RFC 6749 §2.3.1 wants it: both halves form-encoded."""
    return raw_basic(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode(), scheme)


def raw_basic(pair: bytes, scheme: str = "Basic") -> str:
    """The header around whatever is given."""
    return f"{scheme} {b64encode(pair).decode()}"


@pytest.mark.spec("RFC 6749", "2.3.1", "HTTP Basic carries form-encoded credentials")
@pytest.mark.parametrize(
    ("client_id", "secret"),
    [
        ("lkc_abc", "lkx_def"),
        ("an:identifier", "some secure & non-standard secret"),
        (" %&+", " %&+"),
        ("a", "b+c/d=e:f"),
        ("é", "ü€𝄞"),
    ],
)
def test_ac_12_both_halves_are_form_decoded(client_id: str, secret: str) -> None:
    """Also where they hold colons, plus signs, or letters beyond ASCII."""
    found = read_client_credentials([basic(client_id, secret)], NOTHING)
    assert (found.client_id, found.secret) == (client_id, secret)


@pytest.mark.parametrize("scheme", ["bAsIc", "BASIC", "basic"])
def test_ac_12_the_scheme_ignores_case(scheme: str) -> None:
    """RFC 9110 §11.1."""
    assert read_client_credentials([basic("a", "b", scheme)], NOTHING).secret == "b"


@pytest.mark.spec("RFC 6749", "5.2", "Malformed client credentials are invalid_client")
@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic ",
        "Basic !",
        "Basic !!!",
        raw_basic(b"a:b") + "!",
        raw_basic(b"a:b")[:-1],
        raw_basic(b"a:b") + " x",
        raw_basic(b"foo with %:foo with $"),
        raw_basic(b"a%zz:b"),
        raw_basic(b"a:b%f"),
        raw_basic(b"no colon"),
        raw_basic(b":"),
        raw_basic(b":secret"),
        raw_basic(b"a:%00"),
        raw_basic(b"a:\x00"),
        raw_basic(b"\x00:b"),
        raw_basic(b"a:\xff"),
        raw_basic(b"a:%ff"),
        raw_basic(b"a%0ab:c"),
        "Basic é",
        "Bearer abc",
        "Digest username=a",
        "Negotiate",
        "",
        " ",
    ],
)
def test_ac_12_malformed_headers_are_invalid_client(header: str) -> None:
    """Never a traceback, never half a credential."""
    with pytest.raises(OAuthError) as refused:
        read_client_credentials([header], NOTHING)
    assert (refused.value.code, refused.value.status) == ("invalid_client", 401)


@pytest.mark.spec("RFC 6749", "2.3", "One authentication method per request")
def test_ac_13_two_secrets_are_refused() -> None:
    """Also where they are equal."""
    body = Parameters({"client_id": "a", "client_secret": "b"})
    with pytest.raises(OAuthError, match="invalid_request"):
        read_client_credentials([basic("a", "b")], body)


@pytest.mark.spec("RFC 6749", "2.3", "One client per request")
def test_ac_13_two_identities_are_refused() -> None:
    """Basic of A with client_id of B is neither A nor B."""
    with pytest.raises(OAuthError, match="invalid_request"):
        read_client_credentials([basic("a", "b")], Parameters({"client_id": "c"}))
    with pytest.raises(OAuthError, match="invalid_request"):
        read_client_credentials([basic("a", "b"), basic("a", "b")], NOTHING)


@pytest.mark.spec("RFC 6749", "3.2.1", "client_id beside HTTP Basic may repeat the same client")
def test_the_same_client_id_may_stand_in_the_body() -> None:
    """Many libraries send it always."""
    assert read_client_credentials([basic("a", "b")], Parameters({"client_id": "a"})).secret == "b"


def test_an_empty_password_counts_as_none() -> None:
    """Libraries send one for public clients; the secret may then stand in the body."""
    assert read_client_credentials([basic("a", "")], NOTHING).secret is None
    assert read_client_credentials([basic("a", "")], Parameters({"client_secret": "b"})).secret == "b"


def test_credentials_in_the_body() -> None:
    """RFC 6749 §2.3.1, the second form."""
    found = read_client_credentials([], Parameters({"client_id": "a", "client_secret": "b"}))
    assert (found.client_id, found.secret) == ("a", "b")
    assert "b" not in repr(found)


@pytest.mark.spec("RFC 6749", "5.2", "No client authentication at all is invalid_client")
def test_nobody_is_invalid_client() -> None:
    """And the missing field is named."""
    with pytest.raises(OAuthError) as refused:
        read_client_credentials([], NOTHING)
    assert refused.value.code == "invalid_client"
    assert "client_id" in refused.value.description


def test_ac_13_kinds_of_clients_cannot_borrow_each_others_method() -> None:
    """A public client has no secret, a confidential one always shows it; the answers are the same."""
    check_secret_use(public=True, secret=None)
    check_secret_use(public=False, secret="x")
    with pytest.raises(OAuthError) as public:
        check_secret_use(public=True, secret="x")
    with pytest.raises(OAuthError) as confidential:
        check_secret_use(public=False, secret=None)
    assert public.value.description == confidential.value.description
    assert public.value.cause != confidential.value.cause
