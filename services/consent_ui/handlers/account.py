"""The person's account: password and sessions, and the page behind an operator's link. No password ever comes here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from services.consent_ui.form_errors import NO_ERRORS, FormError, FormErrors
from services.consent_ui.forms import read_page_form
from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import ask, required_session
from shared.contracts.sessions import EndOwnSessions, ListSessions, ReadPasswordReset, SessionView
from shared.secret_tokens import digest_of
from shared.web.body import query_pairs
from shared.web.failures import Problem
from shared.web.redirects import see_other

_END_FORM: Final = "end-sessions"
_LONGEST_TOKEN: Final = 64
_ERRORS: Final = {
    "current": FormError("current", "This is not your password."),
    "new": FormError("new", "A password has 8 to 256 characters."),
    "common": FormError("new", "This is one of the most common passwords, which guessers try first. Choose another."),
    "is-name": FormError("new", "The password must not be the username."),
    "same": FormError("new", "This is the password that you have already."),
    "throttled": FormError("", "Too many tries. Wait a minute, then try again."),
    "unavailable": FormError("", "We cannot do that right now. Try again in a moment."),
    "elsewhere": FormError("", "That form came from another site or address. Here is the right one."),
    "unreadable": FormError("", "We could not read what was sent. Please try again."),
    "broken": FormError("", "Something went wrong on our side. Please try again."),
}  # fmt: skip
_NOTICES: Final = {
    "password": "Your password is changed. You are signed out everywhere else.",
    "linked": "The login is linked to your account. You can sign in by it from now on.",
    "ended": "You are signed out everywhere else.",
    "one-ended": "That session is over.",
}


@dataclass(frozen=True, slots=True)
class AccountView:
    """The page of the account."""

    sessions: tuple[SessionView, ...]
    errors: FormErrors = NO_ERRORS
    logins: tuple[tuple[str, str], ...] = ()
    """Logins elsewhere: who gives the person's id, and the id."""

    @property
    def others(self) -> int:
        """How many sessions there are besides the asking one."""
        return sum(not session.current for session in self.sessions)


@dataclass(frozen=True, slots=True)
class PasswordResetView:
    """The page behind an operator's link."""

    username: str | None
    """Whose password it sets; ``None``: the link leads nowhere any more."""
    token: str
    errors: FormErrors = NO_ERRORS


async def show_account(request: web.Request) -> web.Response:
    """``GET /account``; ``?error=`` and ``?done=`` say which of our own sentences to show."""
    visitor, answer = await ask(request, ListSessions(session=required_session(request)))
    errors = _errors_in(request)
    return request.app[RESOURCES].pages.respond(
        "account.html",
        AccountView(answer.sessions, errors, answer.logins),
        visitor=visitor,
        form=_END_FORM,
        notice=None if errors.lines else _NOTICES.get(request.query.get("done", "")),
    )


async def end_sessions(request: web.Request) -> web.Response:
    """``POST /account/sessions``: one session of the person is dead, or without its id all others are."""
    form = await read_page_form(request, _END_FORM)
    session_id = form.optional("session_id")
    command = EndOwnSessions(session=required_session(request), session_id=session_id)
    await ask(request, command)  # one that had ended already is as dead
    return see_other("/account?done=ended" if session_id is None else "/account?done=one-ended")


async def ask_new_password(request: web.Request) -> web.Response:
    """``GET /reset-password``: asks for the new password. Looking uses nothing up, however often and whoever looks."""
    resources = request.app[RESOURCES]
    token = request.query.get("token", "")
    if not 0 < len(token) <= _LONGEST_TOKEN or not token.isalnum():
        raise Problem(404, "This link is not complete. Copy all of it.")
    state = await resources.bus.request(ReadPasswordReset(token_digest=digest_of(token)))
    view = PasswordResetView(state.username, token, _errors_in(request))
    status = 404 if state.username is None else 200
    return resources.pages.respond("reset_password.html", view, status=status)


def _errors_in(request: web.Request) -> FormErrors:
    words = [word for name, word in query_pairs(request) if name == "error" and word in _ERRORS]
    return FormErrors(tuple(_ERRORS[word] for word in dict.fromkeys(words)))
