"""What browsers say of themselves, in words."""

from __future__ import annotations

import pytest

from services.consent_ui.user_agents import browser_name

_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0"


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox on Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Safari/537.36", "Chrome on Windows"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Safari/537.36 Edg/142.0", "Edge on Windows"),
        (f"Mozilla/5.0 (Linux; Android 10; K) {_WEBKIT} Mobile Safari/537.36", "Chrome on Android"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 Version/26.0 Safari/604.1",
            "Safari on an iPhone",
        ),
        ("python-httpx/0.28.1", "python-httpx/0.28.1"),
        ("x" * 200, "x" * 60),
        ("\u202egpj.exe", "\ufffdgpj.exe"),
        (None, "Unknown browser"),
        ("", "Unknown browser"),
    ],
)
def test_a_browser_is_known_again(user_agent: str | None, name: str) -> None:
    """Browser and system; what is no browser by its own words, and never more than fits."""
    assert browser_name(user_agent) == name
