"""The person in front of a page: whose session it is, and the shape of every command that speaks for a person."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeVar

from shared.contracts.messages import Command, Done, Message
from shared.documents import ANSWERED, Milliseconds


class SessionUser(Message):
    """The signed-in person."""

    user_id: int
    username: str
    display_name: str | None = None
    """The name that the site or a provider gives them, shown as given."""
    external_issuer: str | None = None
    """Who gives them the id ``external_user``: ``site``, or an OpenID provider; ``None`` for an account of ours."""
    external_user: str | None = None


class PersonalReply(Message):
    """An answer to a person. Where their session is over ``user`` is ``None``, and nothing was done or read."""

    user: SessionUser | None = None


PersonalReplyT = TypeVar("PersonalReplyT", bound=PersonalReply)


class PersonalCommand(Command[PersonalReplyT]):
    """A command that speaks for a person: by the digest of the session's cookie, never by the id of an account.

    auth_api finds out whose session it is and answers that too, so that a page asks once. The default of each reply
    is its answer to a session that is over.
    """

    queue: ClassVar[str] = "auth_api:consent_ui"

    session: str


class SessionState(PersonalReply):
    """Whose session it is; no ``user`` where it is unknown, ended or its user disabled."""


class ReadSession(PersonalCommand[SessionState]):
    """Ask who is signed in with this session."""

    type: ClassVar[str] = "session.read"
    passes_if_full: ClassVar[bool] = True


class EndSession(Command[Done]):
    """Sign out: the session is dead on the server when this is answered."""

    type: ClassVar[str] = "session.end"
    queue: ClassVar[str] = "auth_api:consent_ui"
    always_passes: ClassVar[bool] = True

    session: str


class SessionView(Message):
    """One session of a person, as they are shown it; from where as far as that was kept."""

    model_config = ANSWERED

    session_id: str
    """Its public name: neither the cookie nor the cookie's digest."""
    created_on: Milliseconds
    last_seen_on: Milliseconds
    """To half a day."""
    peer: str | None
    """The address as limits count it; over the bus only its neighbourhood, ``203.0.113.*``."""
    user_agent: str | None
    current: bool


class SessionList(PersonalReply):
    """The sessions of the person, the asking one first, then the newest."""

    sessions: tuple[SessionView, ...] = ()
    logins: tuple[tuple[str, str], ...] = ()
    """By which logins elsewhere the person comes in: who gives the id, and the id."""


class ListSessions(PersonalCommand[SessionList]):
    """Where the person is signed in."""

    type: ClassVar[str] = "session.list"


class SessionsEnded(PersonalReply):
    """``done``: what the command names is dead."""

    outcome: Literal["done", "not_found"] = "not_found"


class EndOwnSessions(PersonalCommand[SessionsEnded]):
    """End one session of the person by its public id; without one, all but the asking one."""

    type: ClassVar[str] = "session.end-own"
    always_passes: ClassVar[bool] = True

    session_id: str | None = None


class PasswordResetState(Message):
    """Whose password a link sets; ``None`` where it was used, is too old, or there is a newer one."""

    username: str | None = None


class ReadPasswordReset(Command[PasswordResetState]):
    """The page behind an operator's link asks whose password it is about; this uses nothing up."""

    type: ClassVar[str] = "password-reset.read"
    queue: ClassVar[str] = "auth_api:consent_ui"

    token_digest: str
