"""Connected apps: the clients that hold a live key or a standing grant of a person."""

from __future__ import annotations

from typing import ClassVar, Literal

from shared.contracts.base import Command, Message, MessageType


class ConnectedApp(Message):
    """One client of a person's home page."""

    client_id: str
    name: str
    author_name: str
    homepage: str | None
    permissions: tuple[str, ...]
    first_granted_on: int
    last_used_on: int | None
    keys: int
    """Live and paused keys."""


class AppList(Message):
    """The person's connected apps, last granted first; ``signed_out`` where the session is unknown."""

    signed_out: bool = False
    apps: tuple[ConnectedApp, ...] = ()


class ListApps(Command[AppList]):
    """The apps of the signed-in person."""

    type: ClassVar[str] = "app.list"
    queue: ClassVar[str] = "auth_api"
    replies: ClassVar[MessageType] = AppList

    session: str


class AppDisconnected(Message):
    """``done``: every key, code and pending request of that person and client is dead."""

    outcome: Literal["done", "signed_out", "not_found"]
    name: str | None = None


class DisconnectApp(Command[AppDisconnected]):
    """Take back everything that the person gave to one client."""

    type: ClassVar[str] = "app.disconnect"
    queue: ClassVar[str] = "auth_api"
    replies: ClassVar[MessageType] = AppDisconnected
    always_passes: ClassVar[bool] = True

    session: str
    client_id: str
