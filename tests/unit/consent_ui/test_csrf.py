"""The hidden tokens of forms."""

from __future__ import annotations

from services.consent_ui.pages import CsrfTokens

OLD, NEW = b"o" * 32, b"n" * 32


def test_a_token_opens_one_form_of_one_session() -> None:
    """Another session, another form, another request: refused."""
    tokens = CsrfTokens((NEW,))
    token = tokens.token("session", "decide 1")
    assert tokens.accepts("session", "decide 1", token)
    assert not tokens.accepts("other", "decide 1", token)
    assert not tokens.accepts("session", "decide 2", token)
    for wrong in ("", "é", token[:-1], token.upper()):
        assert not tokens.accepts("session", "decide 1", wrong)


def test_forms_survive_a_new_secret() -> None:
    """While the server's secret rotates, forms that are open still work."""
    token = CsrfTokens((OLD,)).token("session", "form")
    assert CsrfTokens((NEW, OLD)).accepts("session", "form", token)
    assert not CsrfTokens((NEW,)).accepts("session", "form", token)


def test_the_secret_is_not_shown() -> None:
    """Also not where somebody prints the object."""
    assert "nnnn" not in repr(CsrfTokens((NEW,)))
