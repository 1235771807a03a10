"""The Authorization header: RFC 6750 §2.1 for bearers, RFC 6749 §2.3.1 for clients."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.key_issuer.handlers.verify import bearer_token
from shared.api_key import basic_credentials, basic_name_and_key
from shared.web.edge import scheme_of


def basic(text: str | bytes) -> str:
    """A header of these characters."""
    raw = text.encode() if isinstance(text, str) else text
    return "Basic " + b64encode(raw).decode()


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("bEaReR abc", "abc"),
        ("Bearer  abc ", "abc"),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearerabc", None),
        ("Basic abc", None),
        ("", None),
        ("abc", None),
    ],
)
def test_a_bearer_is_read_whatever_the_case_of_its_scheme(header: str, token: str | None) -> None:
    """RFC 9110 §11.1: schemes ignore case."""
    assert bearer_token(header) == token


@pytest.mark.parametrize(
    ("sent", "client_id", "secret"),
    [
        ("id:secret", "id", "secret"),
        (
            "an%3Aidentifier:some+secure+%26+non-standard+secret",
            "an:identifier",
            "some secure & non-standard secret",
        ),
        ("%20%25%26%2B:%20%25%26%2B", " %&+", " %&+"),
        ("id:a:b", "id", "a:b"),
        ("id:%C3%A9", "id", "é"),
        ("id:", "id", ""),
    ],
)
def test_both_halves_are_form_decoded(sent: str, client_id: str, secret: str) -> None:
    """RFC 6749 §2.3.1 and appendix B."""
    assert basic_credentials(basic(sent)) == (client_id, secret)


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic ",
        "Bearer abc",
        "Basic !!!",
        "Basic aWQ6c2VjcmV0!",
        "Basic é",
        basic("no colon"),
        basic(":no id"),
        basic("foo with %:foo with $"),
        basic(b"id:\xff"),
        basic("id:%00"),
        basic("id:%0d%0a"),
    ],
)
def test_anything_else_is_malformed(header: str) -> None:
    """Never an error of another kind."""
    with pytest.raises(ValueError, match=r"\w"):
        basic_credentials(header)


@given(st.text())
def test_no_header_raises_anything_else(header: str) -> None:
    """Whatever bytes a peer sends."""
    bearer_token(header)
    scheme_of(header)
    for read in (basic_credentials, basic_name_and_key):
        with suppress(ValueError):
            read(header)
