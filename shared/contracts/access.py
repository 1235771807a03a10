"""What has access to a person's account, connected apps and keys, and how the person takes it back."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from shared.contracts.authorization import MintedDigests
from shared.contracts.keys import Digest, KeyChanged, KeyId, KeyStatus, KeyView
from shared.contracts.messages import Message
from shared.contracts.sessions import PersonalCommand, PersonalReply
from shared.documents import ANSWERED, Milliseconds

LIVE: Final[frozenset[KeyStatus]] = frozenset({"active", "paused"})
"""Of a key that can work now or be resumed."""


class ConnectedApp(Message):
    """A client that holds a live key or a standing grant of the person."""

    model_config = ANSWERED

    client_id: str
    name: str
    author_name: str
    homepage: str | None
    permissions: Annotated[tuple[str, ...], Field(description="names of the catalogue")]
    first_granted_on: Milliseconds
    last_used_on: Milliseconds | None
    keys: int
    """Live and paused keys."""


class DisabledWebhook(Message):
    """A client of the person whose webhook address is disabled."""

    client_id: str
    name: str


class Access(PersonalReply):
    """The connected apps, last granted first, and the keys, newest first.

    Of more keys than fit into a message the ended ones are left out first, then the oldest.
    """

    apps: tuple[ConnectedApp, ...] = ()
    keys: tuple[KeyView, ...] = ()
    disabled_webhooks: tuple[DisabledWebhook, ...] = ()
    """What the person, as an author, has to look at."""

    @property
    def live_keys(self) -> tuple[KeyView, ...]:
        """Those that can work now or be resumed."""
        return tuple(key for key in self.keys if key.status in LIVE)

    @property
    def ended_keys(self) -> tuple[KeyView, ...]:
        """All others."""
        return tuple(key for key in self.keys if key.status not in LIVE)

    def app_name(self, key: KeyView) -> str | None:
        """Which app holds a key: its name, or its id where it is not connected any more; none of a personal key."""
        return next((app.name for app in self.apps if app.client_id == key.client_id), key.client_id)


class ReadAccess(PersonalCommand[Access]):
    """Everything that has access to the signed-in person's account."""

    type: ClassVar[str] = "access.read"
    passes_if_full: ClassVar[bool] = True


class AccessRevoked(PersonalReply):
    """``done``: everything that the command names is dead: keys, codes and pending requests."""

    outcome: Literal["done", "not_found"] = "not_found"


class RevokeAccess(PersonalCommand[AccessRevoked]):
    """Take back everything that the person gave to one client; without one, to all, and their own keys too."""

    type: ClassVar[str] = "access.revoke"
    always_passes: ClassVar[bool] = True

    client_id: str | None = None


class OwnKeyChanged(PersonalReply):
    """What became of a person's key; ``None`` where the session is over."""

    changed: KeyChanged | None = None


class ChangeOwnKey(PersonalCommand[OwnKeyChanged]):
    """Rename, pause, resume, narrow, or expire sooner one of the person's keys; ``None`` leaves a field as it is."""

    type: ClassVar[str] = "own-key.change"
    always_passes: ClassVar[bool] = True

    key_id: str
    identifier: str | None = None
    status: Literal["active", "paused"] | None = None
    permissions: tuple[str, ...] | None = None
    expires_on: int | None = None


class RevokeOwnKey(PersonalCommand[OwnKeyChanged]):
    """Revoke one of the person's keys, dead at every verifier within a second; ``done`` also if it had ended."""

    type: ClassVar[str] = "own-key.revoke"
    always_passes: ClassVar[bool] = True

    key_id: str


class RotateOwnKey(PersonalCommand[OwnKeyChanged]):
    """Replace one of the person's keys by one that the page has minted; the old one lives a while longer."""

    type: ClassVar[str] = "own-key.rotate"

    key_id: str
    overlap_seconds: int
    new_key_id: KeyId
    new_digest: Digest
    later: tuple[MintedDigests, ...] = ()
    """What to put in its place where that one was the answer to an older rotation; empty from the previous release."""
