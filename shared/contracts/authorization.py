"""The consent of a person: what the page asks auth_api to prepare, and what the person decided."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from shared.contracts.base import Command, Message
from shared.contracts.clients import ClientView
from shared.contracts.keys import KeyView
from shared.contracts.sessions import SessionUser

MOST_COUNTED: Final = 1_000
"""People of an app beyond whom nobody counts: the page says "1,000+"."""
Flow = Literal["request_auth", "authorize", "client_file_flow", "device"]
"""How the person came: by the seed's link, the standard endpoint, the file flow, or a device's code."""


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
    """The device's code as it is to be shown again, in the device flow."""
    expires_on: int


class PreparedAuthorization(Message):
    """What the browser gets: a consent page, the sign-in page, an error redirect or an error page."""

    outcome: Literal["consent", "sign_in", "redirect", "refused"]
    consent: ConsentRequest | None = None
    user: SessionUser | None = None
    """Who is signed in, with a refusal."""
    continue_id: str | None = None
    """With ``sign_in``, for consent_ui of release 0.1."""
    location: str | None = None
    """For ``redirect``: the whole Location, byte for byte."""
    refusal: ErrorPage | None = None


class PrepareAuthorization(Command[PreparedAuthorization]):
    """Check an authorization request as it arrived and keep it, bound to the session, for 10 minutes.

    ``query`` holds the percent-decoded pairs in their order, duplicates included; for ``client_file_flow`` it
    begins with ``("client_id", …)`` from the path; for ``device`` with ``("user_code", …)``.
    """

    type: ClassVar[str] = "authorization.prepare"
    queue: ClassVar[str] = "auth_api"

    surface: Flow
    query: tuple[tuple[str, str], ...]
    target: str = "/"
    """The path and query of the page, from consent_ui of release 0.1."""
    session: str | None
    peer: str
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
    queue: ClassVar[str] = "auth_api"

    request_id: str
    session: str
    decision: Literal["accept", "decline"]
    query: tuple[tuple[str, str], ...] = ()
    code_digest: str | None = None
    key: MintedDigests | None = None
    label: str | None = None
    """What the person calls the key of a device or file; the page has checked it."""
