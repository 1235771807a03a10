"""A browser that comes back from a login elsewhere: what becomes of it, whichever login it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.auth_api.accounts.identities import Identity, Introduction, account_of, link_identity
from services.auth_api.accounts.service import Account
from services.auth_api.own_login.browser import UnderWay
from services.auth_api.resources import Resources
from services.auth_api.sessions.service import read_session
from shared.secret_tokens import session_digest

ArrivalProblem = Literal["not_ours", "other_browser", "other_issuer", "over", "used", "signed_out"]


@dataclass(frozen=True, slots=True)
class Begun:
    """Where the browser goes, and its cookie of sign-ins under way."""

    location: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """Back in the browser that began."""

    target: str
    account: Account | None = None
    """Who is to be signed in; ``None`` where the session that is there stays."""
    provider_session: str | None = None
    """What the provider calls its own session (``sid``)."""


class NotArrivedError(Exception):
    """This arrival signs nobody in; ``problem`` says why."""

    def __init__(self, problem: ArrivalProblem, target: str | None = None) -> None:
        """``target`` is where the person wanted to go, if this browser began the sign-in."""
        super().__init__(problem)
        self.problem = problem
        self.target = target


class RefusedElsewhereError(Exception):
    """The site's login, or the provider, says that this person must not come in."""

    def __init__(self, words: str, target: str) -> None:
        """``words`` are theirs."""
        super().__init__(words)
        self.words = words
        self.target = target


async def arrive_as(
    resources: Resources,
    identity: Identity,
    introduction: Introduction,
    begun: UnderWay,
    session_id: str | None,
    provider_session: str | None = None,
) -> Arrived:
    """It is proven who came back: their account is to be signed in, or the login is linked if that is what was begun.

    Raises:
        AccountDisabledError: the account may not sign in.
        NotArrivedError: the login is to be linked, and its person is not signed in here any more.
        IdentityTakenError: it is to be linked, and belongs to another account.
    """
    if begun.linking is not None:
        return await _link(resources, identity, begun, session_id)
    account = await account_of(resources, identity, introduction)
    return Arrived(begun.target, account, provider_session)


async def _link(resources: Resources, identity: Identity, begun: UnderWay, session_id: str | None) -> Arrived:
    user = None if session_id is None else await read_session(resources, session_digest(session_id))
    if user is None or user.user_id != begun.linking:
        raise NotArrivedError("signed_out", begun.target)
    await link_identity(resources, user.user_id, identity)
    return Arrived(begun.target)


async def arrive_again(
    resources: Resources,
    problem: ArrivalProblem,
    *,
    issuer: str,
    subject: str | None,
    session_id: str | None,
    target: str,
) -> Arrived:
    """A step that is repeated (Back, reload): whoever is signed in here by it goes on.

    ``subject`` is ``None`` where nothing is known any more of who it was.

    Raises:
        NotArrivedError: with ``problem``, for everybody else.
    """
    user = None if session_id is None else await read_session(resources, session_digest(session_id))
    if user is not None and user.external_issuer == issuer and subject in (None, user.external_user):
        return Arrived(target)
    raise NotArrivedError(problem, target)
