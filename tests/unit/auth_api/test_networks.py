"""Where a person has signed in, as pages show it."""

from __future__ import annotations

import pytest

from services.auth_api.sessions.account_sessions import network_of


@pytest.mark.parametrize(
    ("peer", "shown"),
    [
        ("203.0.113.77", "203.0.113.*"),
        ("2001:db8:1:2::/64", "2001:db8:1::*"),
        ("::/64", "::*"),
        ("unknown", None),
        ("", None),
        (None, None),
    ],
)
def test_an_address_is_shown_as_its_neighbourhood(peer: str | None, shown: str | None) -> None:
    """Enough to know a place again, and no whole address; nothing of what is none."""
    assert network_of(peer) == shown
