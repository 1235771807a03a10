"""What strangers may send where the site or a provider signs people in: challenges, states, tokens, cookies, headers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, Final

from services.auth_api.accounts.identities import external_id_problem, made_username
from services.auth_api.handlers import arrivals, login_requests, service_caller
from services.auth_api.own_login import browser, challenge, handoff, oidc_sign_in, oidc_tokens
from services.auth_api.own_login.arrival import RefusedElsewhereError
from shared.settings import load_settings
from shared.web import body, user_header
from shared.web.server import LARGEST_HEADER
from tests.unit.linear.requests import SECRETS, finished, in_a_line, make_request

_SECRET: Final = "A" * 43
_HEADER: Final = "eyJhbGciOiJSUzI1NiJ9."
"""Of a token: ``{"alg":"RS256"}``."""
_PROXIED: Final = load_settings(
    {"LATCHKEY_USER_HEADER": "X-Forwarded-User", "LATCHKEY_USER_HEADER_PEERS": "192.0.2.0/24"}
)
_UNDER_WAY: Final = (browser.UnderWay(_SECRET, "/"),)
LINE: Final = LARGEST_HEADER - 200


def answer(text: str) -> object:
    """What the site's server says of somebody."""
    said = login_requests.SignInAnswer(external_id=text, username=text, display_name=text, email=text)
    refused = login_requests.SignInAnswer(error=text)
    return list(login_requests._problems(said)), list(login_requests._problems(refused))


def external_id(text: str) -> object:
    """An id, and a name of which a username is made."""
    return external_id_problem(text), made_username(text)


def under_way(text: str) -> object:
    """The cookie, and a target that goes into it."""
    cookie = browser.add_under_way(text, browser.UnderWay(_SECRET, f"/{in_a_line(text)}"[:10_000]))
    return browser.read_under_way(text), browser.read_under_way(cookie or "")


def login_challenge(text: str) -> object:
    """A challenge, also one of ours with something behind it."""
    ours = challenge.sign_challenge(SECRETS[0], challenge.LoginRequest("b", 1, "c"))
    challenge.read_challenge(SECRETS, ours)
    challenge.read_challenge(SECRETS, ours + text)
    return challenge.read_challenge(SECRETS, text)


async def _no_client(_client_id: str) -> None:
    return None


def waiting_client(text: str) -> object:
    """The app behind a target."""
    resources: Any = SimpleNamespace(clients=SimpleNamespace(find=_no_client))
    line = in_a_line(text)
    for target in (f"/oauth/authorize?client_id={line}", f"/client-file-flow/{line}", f"/?{line}"):
        finished(handoff._waiting_client(resources, target[:12_000]))
    return None


def refusal(text: str) -> object:
    """The target of a sign-in that was refused."""
    request = make_request("GET", "/login/site/callback")
    for path in ("/keys", "/oauth/authorize"):
        with suppress(AttributeError):  # a client would be looked up
            target = f"{path}?{in_a_line(text)}"[:12_000]
            finished(arrivals._refused_elsewhere(request, RefusedElsewhereError(text[:200], target)))
    return None


def state(text: str) -> object:
    """The state of an answer, and a name in its token."""
    return oidc_sign_in._begun_here(SECRETS, text, _UNDER_WAY), oidc_sign_in._text(text)


def token(text: str) -> object:
    """A token that comes through the back channel; no key is known."""
    with suppress(oidc_tokens.TokenError):
        return oidc_tokens.verify_signature(text, [])
    return None


def service_key(request: Any) -> object:
    """The key of one of the site's servers."""
    return finished(service_caller.require_service_key(request, "sign-in"))


def named_person(request: Any) -> object:
    """Whom the site's proxy names."""
    user_header._is_listed.cache_clear()
    return user_header.named_person(request, _PROXIED)


TEXTS: Final[Sequence[tuple[str, Any, int, tuple[str, ...]]]] = (
    ("a login answer", answer, body.LARGEST_BODY // 3, ("", "a")),
    ("an external id", external_id, body.LARGEST_BODY // 3, ("", "a")),
    ("sign-ins under way", under_way, LINE, ("", f"{_SECRET}.")),
    ("a login challenge", login_challenge, LINE, ("", f"{'0' * 64}.")),
    ("the app that waits for a sign-in", waiting_client, LINE, ("",)),
    ("the target of a refused sign-in", refusal, LINE, ("", "client_id=")),
    ("the state of a sign-in", state, LINE, ("", "1.", "99999999999.")),
    ("a token of a provider", token, body.LARGEST_BODY, ("", _HEADER, f"{_HEADER}.")),
)
"""Name, reader, longest, beginnings."""
