"""Where one may go on after signing in (abuse case 36)."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

import pytest

from shared.web.redirects import LONGEST_TARGET, is_own_target, read_target, sign_target

ORIGIN = "https://keys.example.com"
SECRETS = (b"s" * 32, b"older" * 8)


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


@pytest.mark.parametrize(
    "target", ["/", "/oauth/authorize?state=a%2Fb&x=~-_.", "/" + "x" * (LONGEST_TARGET - 1)]
)
def test_a_signed_target_comes_back(target: str) -> None:
    """Byte for byte, in the characters that stand bare in an address, and as often as one likes."""
    signed = sign_target(SECRETS, target)
    assert re.fullmatch(r"[0-9A-Za-z._-]+", signed)
    assert [read_target(SECRETS, signed) for _ in range(2)] == [target, target]
    assert read_target((b"newer" * 8, *SECRETS), signed) == target, "an older secret still counts"


def test_ac_36_what_we_did_not_sign_leads_nowhere() -> None:
    """Not another target under our signature, another secret's, a cut or a longer one; nor what is no path of ours."""
    signed = sign_target(SECRETS, "/developer")
    digest, _, carried = signed.partition(".")
    others = sign_target((b"o" * 32,), "/developer")
    wrong = ["", ".", signed[:-1], signed + "A", f"{digest}.{others[65:-2]}", f"{'0' * 64}.{carried}", others]
    wrong += [f"{digest}.{'é' * 4}", f"{digest}.A", f"{digest}\n.{carried}", "//evil.com", signed + "\n"]
    wrong += [sign_target(SECRETS, target) for target in ("//evil.com", "evil", "/" + "x" * LONGEST_TARGET)]
    assert [read_target(SECRETS, text) for text in wrong] == [None] * len(wrong)
