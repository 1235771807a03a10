"""The consent of a person: what the page asks auth_api to prepare, and what the person decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, Literal

from shared.contracts.clients import ClientView
from shared.contracts.keys import KeyView
from shared.contracts.messages import Command, Message
from shared.contracts.sessions import SessionUser

MOST_COUNTED: Final = 1_000
"""People of an app beyond whom nobody counts: the page says "1,000+"."""
Flow = Literal["request_auth", "authorize", "client_file_flow", "device"]
"""How the person came: by the seed's link, the standard endpoint, the file flow, or a device's code."""
CARRIED: Final[Mapping[Flow, frozenset[str]]] = {
    "authorize": frozenset(
        {
            "client_id",
            "redirect_uri",
            "response_type",
            "response_mode",
            "scope",
            "state",
            "context",
            "code_challenge",
            "code_challenge_method",
            "prompt",
            "request",
            "request_uri",
        }
    ),
    "request_auth": frozenset(
        {"clientID", "redirectUri", "state", "context", "codeChallenge", "codeChallengeMethod"}
    ),
    "client_file_flow": frozenset({"client_id"}),
    "device": frozenset({"user_code"}),
}
"""The parameters of a page's address that mean something to auth_api. Others stay with the page: an app may have put a
secret into its link."""
REQUEST_URI: Final = "urn:ietf:params:oauth:request_uri:"
"""What the reference of a pushed request begins with (RFC 9126 §2.2); it goes on with a secret of the app."""


class ErrorPage(Message):
    """An error page: what happened, why, and what the person can do. Nothing in it is a secret."""

    status: int
    title: str
    reason: str
    advice: str
    retry_after: int | None = None
    """Seconds to wait, where that is what mends it."""


class ConsentRequest(Message):
    """Everything the consent page shows. The grant follows the record that auth_api keeps, never the page."""

    request_id: str
    client: ClientView
    permissions: tuple[str, ...]
    user: SessionUser
    redirect_uri: str | None
    """Where Accept leads (validated); ``None`` for the file and device flows."""
    first_time: bool
    """The person has no standing grant to this client."""
    new_permissions: tuple[str, ...]
    """Those of ``permissions`` that the standing grant does not hold."""
    people: int | None = None
    """How many people have connected the app, at most ``MOST_COUNTED``; ``None`` of a version that did not count."""
    user_code: str | None = None
    """The device's code as it is shown, in the device flow; only to consent_ui of the previous release, which sent it."""
    expires_on: int


class PreparedAuthorization(Message):
    """What the browser gets: a consent page, the sign-in page, an error redirect or an error page."""

    outcome: Literal["consent", "sign_in", "redirect", "refused"]
    consent: ConsentRequest | None = None
    user: SessionUser | None = None
    """Who is signed in, with a refusal."""
    location: str | None = None
    """For ``redirect``: the whole Location, byte for byte."""
    refusal: ErrorPage | None = None


class PrepareAuthorization(Command[PreparedAuthorization]):
    """Check an authorization request as it arrived and keep it, bound to the session, for 10 minutes.

    ``query`` holds the percent-decoded pairs of ``CARRIED`` in their order, duplicates included; for
    ``client_file_flow`` only ``("client_id", …)`` from the path. No secret is in it: ``user_code`` has the digests of
    what was typed (``user_code_digests``, separated by blanks; empty where it cannot be a code), and ``request_uri``
    the SHA-256 in hex of what follows ``REQUEST_URI``.
    """

    type: ClassVar[str] = "authorization.prepare"
    queue: ClassVar[str] = "auth_api:consent_ui"

    surface: Flow
    query: tuple[tuple[str, str], ...]
    session: str | None
    peer: str
    """``peer_digest`` of the browser's address; the address itself from the previous release."""
    request_id: str
    """The X-Request-ID of the page's request, for the activity log."""
    brings_back: bool = False
    """``query`` comes again with the decision: what only passes through need not be kept. Not from release 0.2."""


class MintedDigests(Message):
    """A key minted by the page that will show it: its public id and the digest of the key."""

    key_id: str
    digest: str


class AuthorizationDecided(Message):
    """What the browser gets after Accept, Create key or Decline.

    ``redirect``: to ``redirect_uri`` with ``parameters`` appended in order (the page adds its ``code`` first
    when ``with_code``). ``key_created``: the file flow's key is live, ``key``, ``template`` and ``filename`` make
    the file. ``approved``/``declined``: device and file flows without a redirect. ``already_decided``: a friendly
    page. ``signed_out``: the session is not the one that the request was shown to. ``refused``: an error page.
    """

    outcome: Literal[
        "redirect", "key_created", "approved", "declined", "already_decided", "signed_out", "refused"
    ]
    redirect_uri: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    with_code: bool = False
    client: ClientView | None = None
    key: KeyView | None = None
    template: str | None = None
    filename: str | None = None
    refusal: ErrorPage | None = None


class DecideAuthorization(Command[AuthorizationDecided]):
    """The person's decision on a prepared request; bound to the session that it was shown to.

    Accept carries ``code_digest`` (redirect flows) or ``key`` (file flow); what is not needed is ignored. ``query`` is
    that of the page, where it said that it ``brings_back`` it; another one than it was shown for decides nothing.
    """

    type: ClassVar[str] = "authorization.decide"
    queue: ClassVar[str] = "auth_api:consent_ui"

    request_id: str
    session: str
    decision: Literal["accept", "decline"]
    query: tuple[tuple[str, str], ...] = ()
    code_digest: str | None = None
    key: MintedDigests | None = None
    label: str | None = None
    """What the person calls the key of a device or file; the page has checked it."""
