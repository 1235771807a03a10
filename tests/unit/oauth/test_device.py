"""The device flow's pure half (RFC 8628)."""

from __future__ import annotations

import pytest

from services.auth_api.oauth.device import (
    check_poll,
    device_response,
    mint_user_code,
)
from services.auth_api.oauth.errors import OAuthError
from shared.user_code import ALPHABET, format_user_code, normalise_user_code


@pytest.mark.spec("RFC 8628", "6.1", "User codes of 8 characters from a base-20 alphabet")
def test_user_codes_are_easy_to_type() -> None:
    """Consonants alone."""
    code = mint_user_code()
    assert len(code) == 8
    assert set(code) <= set(ALPHABET)
    assert len({mint_user_code() for _ in range(200)}) == 200


@pytest.mark.spec("RFC 8628", "6.1", "Punctuation and case of a typed user code are ignored")
@pytest.mark.parametrize(
    "typed",
    [
        "WDJB-MJHT",
        "wdjb mjht",
        "wdjb-mjht",
        "WDJBMJHT",
        " W D J B\u2013M J H T ",
        "wdjb_mjht",
        "\uff37\uff24\uff2a\uff22\uff0d\uff2d\uff2a\uff28\uff34",
        "\uff57\uff44\uff4a\uff42\u3000\uff4d\uff4a\uff48\uff54",
        "WDJB\ufe63MJHT",
    ],
)
def test_ac_58_a_user_code_may_be_typed_in_any_way(typed: str) -> None:
    """Dash, space, case, width."""
    assert normalise_user_code(typed) == "WDJBMJHT"
    assert format_user_code("WDJBMJHT") == "WDJB-MJHT"


@pytest.mark.parametrize(
    "typed",
    ["", "WDJB", "WDJB-MJHTX", "WDJB-MJHA", "0" * 8, "<script>", "WDJBMJHT\0", "ẞDJBMJHT", "x" * 100_000],
)
def test_what_cannot_be_a_user_code_is_none(typed: str) -> None:
    """It never reaches a store."""
    assert normalise_user_code(typed) is None


@pytest.mark.spec("RFC 8628", "3.5", "What a poll is answered")
@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("pending", "authorization_pending"),
        ("slow_down", "slow_down"),
        ("denied", "access_denied"),
        ("expired", "expired_token"),
    ],
)
def test_ac_58_each_state_has_its_error(state: str, code: str) -> None:
    """And only an approved code goes on."""
    with pytest.raises(OAuthError) as refused:
        check_poll(state)
    assert (refused.value.code, refused.value.status) == (code, 400)
    check_poll("approved")


@pytest.mark.spec("RFC 8628", "3.2", "The device authorization response")
def test_the_device_response() -> None:
    """Its members as interface.md has them."""
    assert device_response("https://k.example", "secret", "WDJBMJHT") == {
        "device_code": "secret",
        "user_code": "WDJB-MJHT",
        "verification_uri": "https://k.example/device",
        "verification_uri_complete": "https://k.example/device?user_code=WDJB-MJHT",
        "expires_in": 600,
        "interval": 5,
    }
