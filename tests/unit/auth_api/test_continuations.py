"""Where one may go on after signing in (abuse case 36)."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest

from services.auth_api.continuations import LONGEST_TARGET, is_continuation_id, is_own_target

ORIGIN = "https://keys.example.com"


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/oauth/authorize?client_id=x&state=a%2Fb%20c&redirect_uri=https%3A%2F%2Fe.com",
        "/developer#x",
        "/a//b",
    ],
)
def test_paths_of_ours_are_kept(target: str) -> None:
    """A path and its raw query."""
    assert is_own_target(target)


@pytest.mark.parametrize(
    "target",
    [
        "", "//evil.com", "/\\evil.com", "/\t/evil.com", "/\n/evil.com", "///evil.com", "https:evil.com", "https://evil.com",
        "javascript:alert(1)", "@evil.com", "evil.com", "\\\\evil.com", "/a\\..\\evil", "/a b", "/é", "/a\0", "/a\r\nSet-Cookie: x=y",
        " /a", "/" + "x" * LONGEST_TARGET,
    ],
)  # fmt: skip
def test_ac_36_everything_else_is_not(target: str) -> None:
    """Other origins in every disguise, and what no header may carry."""
    assert not is_own_target(target)


@pytest.mark.parametrize(
    "target", ["/.//evil.com", "/a/..//evil.com", "/%09/evil.com", "/%2f%2fevil.com", "/;@evil.com"]
)
def test_ac_36_dots_and_escapes_stay_on_our_origin(target: str) -> None:
    """What is allowed resolves to our origin however it is read."""
    assert is_own_target(target)
    assert urlsplit(urljoin(ORIGIN, target)).netloc == "keys.example.com"


def test_ids_have_one_shape() -> None:
    """22 base62 characters; nothing else is looked up."""
    assert is_continuation_id("a" * 22)
    assert not any(
        map(is_continuation_id, ("", "a" * 21, "a" * 23, "a" * 21 + "/", "a" * 21 + "é", "a" * 22 + "\n"))
    )
