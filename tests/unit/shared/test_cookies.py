"""Our cookies among all others that a browser sends."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from shared.settings import load_settings
from shared.web.cookies import read_cookie, read_session_cookie

SESSION = "s" * 43


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (f"latchkey_session={SESSION}", SESSION),
        (f"a=1; latchkey_session={SESSION}; b=2", SESSION),
        (f"a=1;latchkey_session={SESSION}", SESSION),
        (f"a; =; ;;latchkey_session={SESSION};", SESSION),
        (f'a="x; latchkey_session={SESSION}', SESSION),
        (f"latchkey_session=old; latchkey_session={SESSION}", SESSION),
        (f"Latchkey_session={SESSION}", None),
        (f"xlatchkey_session={SESSION}", None),
        (f"latchkey_session={SESSION}x", None),
        (f"latchkey_session {SESSION}", None),
        ("latchkey_session", None),
        ("", None),
    ],
)
def test_the_session_is_found_among_other_cookies(header: str, found: str | None) -> None:
    """By its exact name, whatever stands before it; the last of several counts."""
    request = make_mocked_request("GET", "/", headers={"Cookie": header})
    assert read_session_cookie(request, load_settings({})) == found


def test_a_value_is_given_as_it_was_sent() -> None:
    """Nothing is decoded."""
    request = make_mocked_request("GET", "/", headers={"Cookie": 'a=b=c "%41"; d=e'})
    assert read_cookie(request, "a") == 'b=c "%41"'
