"""What of a page's address goes over the bus: what means something, and no secret."""

from __future__ import annotations

import pytest

from services.auth_api.oauth.authorization_request import AUTHORIZE, REQUEST_AUTH
from services.consent_ui.authorization_query import without_secrets
from shared.contracts.authorization import CARRIED, REQUEST_URI, Flow
from shared.contracts.previous_release import in_digests, typed_in_clear
from shared.secret_tokens import digest_of
from shared.user_code import user_code_digests

SECRETS = (b"new" * 11, b"old" * 11)
REFERENCE = REQUEST_URI + "a" * 43


def test_what_the_rules_of_a_flow_know_is_carried_and_no_more() -> None:
    """A parameter that auth_api learns to read is not lost on the way."""
    assert CARRIED["authorize"] == set(AUTHORIZE.values())
    assert CARRIED["request_auth"] == set(REQUEST_AUTH.values())


@pytest.mark.parametrize("flow", list(CARRIED))
def test_what_an_app_put_into_its_link_by_mistake_stays_with_the_page(flow: Flow) -> None:
    """Whatever its name is."""
    names = ("client_secret", "code_verifier", "code", "access_token", "password", "x")
    assert without_secrets(SECRETS, flow, [(name, "secret") for name in names]) == ()


@pytest.mark.parametrize("typed", ["WDJB-MJHT", "wdjb mjht", "ＷＤＪＢ－ＭＪＨＴ"])  # noqa: RUF001
def test_a_user_code_goes_as_its_digests(typed: str) -> None:
    """However it is typed, under each of the site's secrets, newest first; another secret gives others."""
    ((name, given),) = without_secrets(SECRETS, "device", [("user_code", typed)])
    assert (name, given.split()) == ("user_code", list(user_code_digests(SECRETS, "WDJBMJHT")))
    assert len(set(given.split())) == 2
    assert typed_in_clear(given) is None


@pytest.mark.parametrize("typed", ["", "x", "WDJB-MJH", "WDJB-MJHTT", "password-of-mine"])
def test_what_is_no_user_code_is_not_told(typed: str) -> None:
    """People paste the wrong thing."""
    assert without_secrets(SECRETS, "device", [("user_code", typed)]) == (("user_code", ""),)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (REFERENCE, digest_of("a" * 43)),
        ("https://client.example/request", "not ours"),
        ("a" * 43, "not ours"),
        (digest_of("a" * 43), "not ours"),
        ("", ""),
    ],
)
def test_a_reference_goes_as_its_digest(given: str, told: str) -> None:
    """Other addresses not at all, nor a digest that somebody found; an empty one counts as absent. All else stays."""
    pairs = [("state", "s"), ("request_uri", given), ("state", "t")]
    assert without_secrets(SECRETS, "authorize", pairs) == (
        ("state", "s"),
        ("request_uri", told),
        ("state", "t"),
    )
    assert in_digests(REFERENCE) == in_digests(digest_of("a" * 43)) == digest_of("a" * 43)
