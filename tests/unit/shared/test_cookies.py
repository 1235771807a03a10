"""Reading cookies of ours out of whatever a browser or somebody else sends."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from shared.web.cookies import read_cookie

NAME = "latchkey_session"
VALUE = "a" * 43


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (f"{NAME}={VALUE}", VALUE),
        (f"a=1; {NAME}={VALUE}; b=2", VALUE),
        (f"a=1;{NAME}={VALUE};b", VALUE),
        (f"  {NAME} = {VALUE} ", VALUE),
        (f"{NAME}=first; {NAME}=last", "last"),
        (f"{NAME}=a=b", "a=b"),
        ("", ""),
        (";;; = ;", ""),
        (NAME, ""),
        (f"{NAME}=", ""),
        (f"x{NAME}={VALUE}", ""),
        (f"{NAME}x={VALUE}", ""),
        (f"{NAME.upper()}={VALUE}", ""),
        (f"a={NAME}={VALUE}", ""),
    ],
)
def test_our_cookie_is_found_by_its_whole_name(header: str, value: str) -> None:
    """RFC 6265 §5.4: pairs between semicolons; names are told apart by case, and the last of one name counts."""
    request = make_mocked_request("GET", "/", headers={"Cookie": header})
    assert read_cookie(request, NAME) == value


def test_no_cookie_is_none() -> None:
    """Most requests of programs have none."""
    assert read_cookie(make_mocked_request("GET", "/"), NAME) == ""
