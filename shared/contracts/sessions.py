"""What consent_ui asks auth_api about the person in front of it."""

from __future__ import annotations

from typing import ClassVar

from shared.contracts.base import Command, Done, Message, MessageType


class SessionUser(Message):
    """The signed-in person."""

    user_id: int
    username: str


class SessionState(Message):
    """Whose session it is; ``user`` is ``None`` where it is unknown, ended or its user disabled."""

    user: SessionUser | None


class ReadSession(Command[SessionState]):
    """Who is signed in with this session? ``session`` is the digest of the cookie's value."""

    type: ClassVar[str] = "session.read"
    queue: ClassVar[str] = "auth_api"
    replies: ClassVar[MessageType] = SessionState

    session: str


class EndSession(Command[Done]):
    """Sign out: the session is dead on the server when this is answered."""

    type: ClassVar[str] = "session.end"
    queue: ClassVar[str] = "auth_api"
    replies: ClassVar[MessageType] = Done
    always_passes: ClassVar[bool] = True

    session: str


class ContinuationStored(Message):
    """The opaque id under which an interrupted visit continues after signing in."""

    continue_id: str


class StoreContinuation(Command[ContinuationStored]):
    """Keep where the person was going (path and query on our own origin) while they sign in, for 15 minutes."""

    type: ClassVar[str] = "continuation.store"
    queue: ClassVar[str] = "auth_api"
    replies: ClassVar[MessageType] = ContinuationStored

    target: str
