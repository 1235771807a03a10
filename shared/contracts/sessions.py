"""The person in front of a page: whose session it is, and the shape of every command that speaks for a person."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from shared.contracts.base import Command, Done, Message


class SessionUser(Message):
    """The signed-in person."""

    user_id: int
    username: str


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
