"""Scopes (RFC 6749 §3.3)."""

from __future__ import annotations

import pytest

from services.auth_api.oauth.errors import OAuthError
from services.auth_api.oauth.scope import narrow, parse_scope

REGISTERED = ("customise_profile", "customise_score", "submit_score")


@pytest.mark.spec("RFC 6749", "3.3", "The scope grammar")
@pytest.mark.parametrize("scope", [" a", "a ", "a  b", "a\tb", 'a"b', "a\\b", "a\nb", "é", " ", "a\x7f"])
def test_ac_21_scope_has_a_grammar(scope: str) -> None:
    """Tokens of visible ASCII without quote and backslash, separated by single spaces."""
    with pytest.raises(OAuthError, match="invalid_scope"):
        parse_scope(scope)


@pytest.mark.spec("RFC 6749", "3.3", "Without a scope the default applies: all that the client registered")
def test_without_scope_everything_registered_is_asked_for() -> None:
    """The seed's links carry no scope."""
    assert narrow(parse_scope(None), REGISTERED) == REGISTERED


@pytest.mark.spec("RFC 6749", "3.3", "A client may ask for less than it registered")
def test_scope_narrows_in_the_registered_order() -> None:
    """Order and repetition mean nothing."""
    assert narrow(parse_scope("submit_score customise_profile submit_score"), REGISTERED) == (
        "customise_profile",
        "submit_score",
    )


@pytest.mark.spec("RFC 6749", "4.1.2.1", "An unknown or unregistered scope is invalid_scope")
@pytest.mark.parametrize("scope", ["delete_score", "customise_score openid", "CUSTOMISE_SCORE", "*"])
def test_ac_21_what_was_not_registered_is_refused(scope: str) -> None:
    """Nothing is dropped silently."""
    with pytest.raises(OAuthError, match="invalid_scope"):
        narrow(parse_scope(scope), REGISTERED)
    with pytest.raises(OAuthError, match="invalid_scope"):
        narrow((), REGISTERED)
