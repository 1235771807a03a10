"""Where an answer goes, as the page shows it."""

from __future__ import annotations

import pytest

from services.consent_ui.redirect_target import describe_redirect


@pytest.mark.parametrize(
    ("uri", "kind", "shown"),
    [
        ("https://epicgames.example.com/tachi-auth-callback", "site", "epicgames.example.com"),
        ("https://c.example:8443?a=b", "site", "c.example:8443"),
        ("https://xn--pple-43d.com/cb", "site", "xn--pple-43d.com"),
        ("https://C.Example/cb", "site", "c.example"),
        ("https://192.0.2.7/cb", "site", "192.0.2.7"),
        ("http://127.0.0.1:5000/cb", "computer", "127.0.0.1:5000"),
        ("http://127.0.0.1", "computer", "127.0.0.1"),
        ("http://localhost/cb", "computer", "localhost"),
        ("http://[::1]:5000/cb", "computer", "[::1]:5000"),
        ("com.example.app:/cb", "program", "com.example.app:"),
    ],
)
def test_a_redirect_uri_is_named(uri: str, kind: str, shown: str) -> None:
    """The page shows the host in ASCII, or the scheme of a program."""
    target = describe_redirect(uri)
    assert (target.kind, target.shown) == (kind, shown)
