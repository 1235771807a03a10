"""Where an answer goes, as the page shows it and as `form-action` allows it."""

from __future__ import annotations

import pytest

from services.consent_ui.redirect_target import describe_redirect

LOOPBACK = ("http://127.0.0.1:*", "http://localhost:*", "https:")


@pytest.mark.parametrize(
    ("uri", "kind", "shown", "sources"),
    [
        (
            "https://epicgames.example.com/tachi-auth-callback",
            "site",
            "epicgames.example.com",
            ("https://epicgames.example.com", "https:"),
        ),
        ("https://c.example:8443?a=b", "site", "c.example:8443", ("https://c.example:8443", "https:")),
        ("https://xn--pple-43d.com/cb", "site", "xn--pple-43d.com", ("https://xn--pple-43d.com", "https:")),
        ("https://C.Example/cb", "site", "c.example", ("https://c.example", "https:")),
        ("https://192.0.2.7/cb", "site", "192.0.2.7", ("https:",)),
        ("http://127.0.0.1:5000/cb", "computer", "127.0.0.1:5000", ("http://127.0.0.1:5000", *LOOPBACK)),
        ("http://127.0.0.1", "computer", "127.0.0.1", ("http://127.0.0.1", *LOOPBACK)),
        ("http://localhost/cb", "computer", "localhost", ("http://localhost", *LOOPBACK)),
        ("http://[::1]:5000/cb", "computer", "[::1]:5000", ("http:",)),
        ("com.example.app:/cb", "program", "com.example.app:", ("com.example.app:",)),
    ],
)
def test_a_redirect_uri_is_named_and_allowed(
    uri: str, kind: str, shown: str, sources: tuple[str, ...]
) -> None:
    """The page shows the host in ASCII, and the browser may go there, and nowhere by another scheme."""
    target = describe_redirect(uri)
    assert (target.kind, target.shown, target.form_targets) == (kind, shown, sources)
    assert not any(set(source) & set(" ;,'") for source in target.form_targets)
