"""Locations built from registered bytes."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.web.redirects import append_parameters


@pytest.mark.spec("RFC 6749", "4.1.2", "parameters are added to the query; the registered URI keeps its own")
def test_ac_20_the_registered_bytes_stay() -> None:
    """Escapes, case, path parameters and an existing query come back byte for byte."""
    registered = "https://c.example/cb;p=1?a=%2F&b=1+2&c=%7e&e="
    assert append_parameters(registered, [("code", "x"), ("state", "s t&u#v%20+é")]) == (
        registered + "&code=x&state=s%20t%26u%23v%2520%2B%C3%A9"
    )


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://a/b", "https://a/b?x=1"),
        ("https://a/b?", "https://a/b?x=1"),
        ("https://a/b?c", "https://a/b?c&x=1"),
        ("https://a/b?c=1&", "https://a/b?c=1&x=1"),
        ("com.example.app:/cb", "com.example.app:/cb?x=1"),
    ],
)
def test_the_separator_fits_the_query(uri: str, expected: str) -> None:
    """``?`` begins a query, ``&`` goes on with it, neither is doubled."""
    assert append_parameters(uri, [("x", "1")]) == expected
    assert append_parameters(uri, []) == uri


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_state_comes_back_as_it_was_sent(state: str) -> None:
    """A client decodes exactly what it had sent."""
    location = append_parameters("https://a/b", [("state", state)])
    assert parse_qsl(urlsplit(location).query, keep_blank_values=True, strict_parsing=True) == [
        ("state", state)
    ]
    assert location.isascii()
