"""Keys of the site's own servers, as auth_api asks about them; on the bus there are only their digests."""

from __future__ import annotations

from typing import ClassVar

from shared.contracts.keys import Digest, KeyId, TakesBack
from shared.contracts.messages import Message


class ServiceKeyState(Message):
    """What a service key may do; nothing (``None``) where it is not live."""

    permissions: tuple[str, ...] | None = None


class ReadServiceKey(TakesBack[ServiceKeyState]):
    """Ask what the service key of this id may do, if it has this digest.

    It goes where keys are taken back: who ends people proves that they may, and no backlog of issues delays that.
    """

    type: ClassVar[str] = "service-key.read"

    key_id: KeyId
    digest: Digest
