"""What consent_ui of release 0.1 says to auth_api: answered while both releases run side by side during an upgrade."""

from __future__ import annotations

from typing import ClassVar

from shared.contracts.access import ReadAccess, RevokeAccess
from shared.contracts.base import Command, Message


class ListApps(ReadAccess):
    """The connected apps; it reads no more of the answer."""

    type: ClassVar[str] = "app.list"


class DisconnectApp(RevokeAccess):
    """Take back everything that the person gave to one client."""

    type: ClassVar[str] = "app.disconnect"

    client_id: str


class ContinuationStored(Message):
    """What leads back to the target after signing in."""

    continue_id: str


class StoreContinuation(Command[ContinuationStored]):
    """Where the person was going; nothing is kept for it any more, the target is signed instead."""

    type: ClassVar[str] = "continuation.store"
    queue: ClassVar[str] = "auth_api"

    target: str
