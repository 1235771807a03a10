"""PKCE: S256 or nothing (RFC 7636, RFC 9700 §2.1.1)."""

from __future__ import annotations

import pytest

from services.auth_api.oauth.errors import OAuthError
from services.auth_api.oauth.pkce import (
    challenge_of,
    check_challenge,
    check_verifier,
    check_verifier_syntax,
)

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.spec("RFC 7636", "B", "The example of the appendix")
def test_the_challenge_of_the_appendix() -> None:
    """Our S256 is the RFC's."""
    assert challenge_of(VERIFIER) == CHALLENGE
    check_verifier(CHALLENGE, VERIFIER)


@pytest.mark.spec("RFC 7636", "4.4.1", "An unsupported method is invalid_request")
@pytest.mark.spec("RFC 7636", "4.3", "Only S256, spelled exactly, is a code_challenge_method")
@pytest.mark.parametrize("method", ["plain", None, "s256", "S256 ", "S256\nx", "S512", "S256,plain"])
def test_ac_07_only_exactly_s256_is_a_method(method: str | None) -> None:
    """A missing method means plain, which is refused like any other."""
    with pytest.raises(OAuthError) as refused:
        check_challenge(CHALLENGE, method, required=False)
    assert refused.value.code == "invalid_request"
    assert "code_challenge_method" in refused.value.description


@pytest.mark.spec("RFC 7636", "4.2", "An S256 challenge is 43 characters of base64url")
@pytest.mark.parametrize(
    "challenge", [CHALLENGE[:-1], CHALLENGE + "=", CHALLENGE + "A", "é" * 43, "+" * 43, CHALLENGE + "\n"]
)
def test_a_challenge_that_no_sha_256_gives_is_refused(challenge: str) -> None:
    """A malformed challenge could never be met."""
    with pytest.raises(OAuthError, match="invalid_request"):
        check_challenge(challenge, "S256", required=False)


@pytest.mark.spec("RFC 9700", "2.1.1", "Public clients must use PKCE")
def test_a_public_client_needs_a_challenge() -> None:
    """Without one, whoever intercepts the code could redeem it."""
    with pytest.raises(OAuthError, match="invalid_request"):
        check_challenge(None, None, required=True)


def test_a_method_without_a_challenge_is_refused() -> None:
    """That is what somebody leaves behind who strips the challenge."""
    with pytest.raises(OAuthError, match="invalid_request"):
        check_challenge(None, "S256", required=False)
    assert check_challenge(None, None, required=False) is None


@pytest.mark.spec("RFC 9700", "4.8.2", "A verifier for a code without a challenge is refused")
def test_ac_06_a_verifier_without_a_challenge_is_a_downgrade() -> None:
    """The challenge was removed on the way."""
    with pytest.raises(OAuthError) as refused:
        check_verifier(None, VERIFIER)
    assert refused.value.code == "invalid_grant"
    assert "downgrade" in refused.value.cause


@pytest.mark.spec("RFC 7636", "4.6", "A missing or wrong verifier is invalid_grant")
@pytest.mark.parametrize("verifier", [None, VERIFIER[:-1] + "l", CHALLENGE, "A" * 43, VERIFIER + "A"])
def test_ac_05_a_wrong_verifier_is_invalid_grant(verifier: str | None) -> None:
    """Also the challenge itself, which the browser has seen."""
    with pytest.raises(OAuthError, match="invalid_grant"):
        check_verifier(CHALLENGE, verifier)


@pytest.mark.spec("RFC 7636", "4.1", "A verifier is 43 to 128 unreserved characters")
@pytest.mark.parametrize(
    "verifier", ["A" * 42, "A" * 129, "A" * 42 + "+", "A" * 43 + "=", "é" * 43, "A" * 43 + "\n"]
)
def test_ac_05_a_verifier_has_its_own_alphabet(verifier: str) -> None:
    """What no client can have hashed is named as malformed, before any code is looked at."""
    with pytest.raises(OAuthError) as refused:
        check_verifier_syntax(verifier)
    assert refused.value.code == "invalid_request"
    assert "code_verifier" in refused.value.description


def test_well_formed_verifiers_pass() -> None:
    """The shortest and the longest."""
    for verifier in ("A" * 43, "-._~" * 32):
        check_verifier_syntax(verifier)
