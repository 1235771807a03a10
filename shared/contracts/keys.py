"""Keys on the bus: commands to key_issuer and its answers. No message here ever holds a key, only digests."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, StringConstraints

from shared.contracts.messages import Command, Done, Message, ReplyT

KeyStatus = Literal["active", "paused", "expired", "revoked"]
KeyOrigin = Literal["code", "device", "file", "personal", "rotation"]


KeyId = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z]{16}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in hex."""
Text = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")]
"""What every store can hold."""
Name = Annotated[Text, StringConstraints(min_length=1)]
PublicName = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,100}$")]
ScopeToken = Annotated[str, StringConstraints(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$")]
"""RFC 6749 §3.3."""
MOST_ABANDONED: Final = 100

Number = Annotated[int, Field(gt=0, lt=2**63)]


class KeyCommand(Command[ReplyT]):
    """What key_issuer is asked for; commands wait for those that came before them."""

    queue: ClassVar[str] = "key_issuer"


class TakesBack(Command[ReplyT]):
    """What makes keys worth less: it waits behind no issue and is refused by no backlog, so it has a stream of its own.

    Nothing here depends on coming after the issue of the key it is about: what comes first leaves a mark, which the
    issue then finds.
    """

    queue: ClassVar[str] = "key_issuer:first"
    always_passes: ClassVar[bool] = True


class KeyView(Message):
    """A key as its owner sees it."""

    key_id: str
    identifier: str
    permissions: tuple[str, ...]
    client_id: str | None
    created_on: int
    last_used_on: int | None
    expires_on: int | None
    status: KeyStatus
    used_permissions: tuple[str, ...] = ()
    """Those that a check has asked for."""
    delivered: bool = True
    """Only the previous release reads it, which runs beside this one during an upgrade."""


class IssueKeyReply(Message):
    """What became of an ``IssueKey``.

    ``issued``: the row is committed; with ``key`` where the command wants it shown. ``code_already_used``: another
    key came out of this code (it is revoked now); with ``key`` it is this key that came out of it, revoked since the
    code was presented again meanwhile. ``superseded``: the requester has given this key up, and the code was given
    back. ``consent_withdrawn``: the grant, client or user ended after the consent was given. ``limit``: the person has
    as many keys of their own as the site allows.
    """

    outcome: Literal["issued", "code_already_used", "superseded", "consent_withdrawn", "limit"]
    key: KeyView | None = None


class OrderKey(KeyCommand[IssueKeyReply]):
    """The part of an ``IssueKey`` that the requester of a code's key knows.

    What the person consented to is attached from the code's record by the script that spends the code.
    """

    type: ClassVar[str] = "key.issue"

    key_id: KeyId
    digest: Digest
    """Of the key; the issuer adds its pepper."""
    code_digest: Digest | None
    """Digest of the one-time (or device) code; ``None`` for personal and file keys."""
    abandoned: tuple[KeyId, ...] = Field((), max_length=MOST_ABANDONED)
    """Ids of keys that earlier redeems of this code ordered and gave up: none of them may live beside this one."""
    identifier: Name
    """What the key is called where the person gave it no ``label``."""
    origin: KeyOrigin
    shown: bool = True
    """Whether the reply is to show the key that was issued; an exchange needs no more than the outcome."""


class IssueKey(OrderKey):
    """Make one key. Safe to deliver twice: the row is unique on ``key_id`` and on ``code_digest``.

    What is out of bounds is no ``IssueKey``: the sender cannot make it, and the issuer, which does not believe that
    everything on the bus was checked, cannot read it.
    """

    user_id: Number
    username: PublicName
    external_issuer: Name | None = None
    """Who gives the person the id ``external_user``; ``None`` for an account that is only ours."""
    external_user: Name | None = None
    client_id: PublicName | None
    label: Name | None = None
    """What the person calls the device or place that the key is for."""
    permissions: tuple[ScopeToken, ...] = Field(min_length=1)
    expires_on: Number | None = None
    consented_on: Number
    """When the person agreed; a later revocation of the grant refuses the key."""
    binding: dict[Text, Text] | None = Field(None, max_length=20)
    """What the code was bound to, as names and digests that only auth_api can read; kept with the row."""


class AbandonKey(KeyCommand[Done]):
    """Nobody will ever hold this key: its requester was answered 503 and the code was given back.

    The key ends, or is refused where its issue comes later; the code's next issue takes the code over. No reply.
    """

    type: ClassVar[str] = "key.abandon"
    always_passes: ClassVar[bool] = True

    key_id: str
    code_digest: str


class ConfirmDelivery(KeyCommand[Done]):
    """Only the previous release sends it, which runs beside this one during an upgrade; there is nothing to do."""

    type: ClassVar[str] = "key.confirm"

    key_ids: tuple[str, ...]


class KeysRevoked(Message):
    """How many keys a command found and which it ended now (an already revoked one counts as found)."""

    found: int
    revoked: tuple[str, ...]


class RevokeKey(TakesBack[KeysRevoked]):
    """Revoke one key by its id; ``user_id`` restricts it to that person's."""

    type: ClassVar[str] = "key.revoke"

    key_id: str
    user_id: int | None
    reason: str


class RevokeToken(TakesBack[KeysRevoked]):
    """Revoke the key with this digest if it belongs to the client (RFC 7009 §2.1)."""

    type: ClassVar[str] = "key.revoke-token"

    key_id: str
    digest: str
    client_id: str


class RevokeCode(TakesBack[KeysRevoked]):
    """A code was presented again: its key dies, also one whose row comes later (RFC 6749 §4.1.2).

    ``user_id`` is ``None`` where Redis has forgotten the code; then only a committed row of ``client_id`` counts.
    """

    type: ClassVar[str] = "key.revoke-code"

    code_digest: str
    client_id: str
    user_id: int | None
    binding: dict[str, str] | None = None
    """What the request presents; each must equal what the row is bound to. `None` where auth_api compared it already."""


class RevokeGrant(TakesBack[KeysRevoked]):
    """End every key of a person, of a client, or of both together, consented to at or before ``before``.

    Also refuses keys of such consents whose issue is still on its way. At least one of the two is given.
    """

    type: ClassVar[str] = "key.revoke-holding"

    user_id: int | None
    client_id: str | None
    before: int
    reason: str


class RevokePeople(TakesBack[KeysRevoked]):
    """End every key of these people, at most 500 of them, consented to at or before ``before``."""

    type: ClassVar[str] = "key.revoke-people"

    user_ids: tuple[int, ...]
    before: int
    reason: str


class KeyList(Message):
    """Keys newest first: live ones and those that ended in the last 30 days, at most 200."""

    keys: tuple[KeyView, ...]
    more: bool = False
    """Whether another page follows."""
    found: bool = True
    """``False`` where the person has no key that the page was to follow."""


class ListKeys(KeyCommand[KeyList]):
    """The keys of a person."""

    type: ClassVar[str] = "key.list"
    passes_if_full: ClassVar[bool] = True

    user_id: int
    after: str | None = None
    """The id of the key that the page follows, empty for the first page; ``None`` for one list of what matters most."""


class ClientUsage(Message):
    """What one client holds of a person."""

    client_id: str
    keys: int
    permissions: tuple[str, ...]
    first_issued_on: int
    last_used_on: int | None


class UsageSummary(Message):
    """Per client with at least one live or paused key."""

    clients: tuple[ClientUsage, ...]


class SummarizeUsage(KeyCommand[UsageSummary]):
    """What each client holds of a person; for the connected apps."""

    type: ClassVar[str] = "key.summarize-usage"
    passes_if_full: ClassVar[bool] = True

    user_id: int


class KeyChanged(Message):
    """The outcome of a change; ``conflict`` carries why it cannot be (``detail``), naming the ``field``."""

    outcome: Literal["done", "not_found", "conflict"]
    key: KeyView | None = None
    field: str | None = None
    detail: str | None = None
    retry_after: int | None = None
    """Seconds to wait, where the person has changed too many in a short time."""


class ChangeKey(TakesBack[KeyChanged]):
    """Rename, pause, resume, narrow, or expire a person's key sooner; ``None`` leaves a field as it is."""

    type: ClassVar[str] = "key.change"

    key_id: str
    user_id: int
    identifier: str | None = None
    status: Literal["active", "paused"] | None = None
    permissions: tuple[str, ...] | None = None
    expires_on: int | None = None


class RotateKey(KeyCommand[KeyChanged]):
    """A new key in the same grant; the old one's expiry moves to ``overlap_seconds`` from now, never later."""

    type: ClassVar[str] = "key.rotate"

    key_id: str
    user_id: int
    overlap_seconds: int
    new_key_id: KeyId
    new_digest: Digest
