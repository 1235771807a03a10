"""A client's webhooks as its author sees and steers them in the console."""

from __future__ import annotations

from typing import ClassVar, Literal

from shared.contracts.clients import DisabledWhy, OverlapSeconds
from shared.contracts.keys import Digest
from shared.contracts.messages import Message
from shared.contracts.sessions import PersonalCommand, PersonalReply

DeliveryStatus = Literal["waiting", "delivered", "failed", "dropped"]
"""``waiting`` for its first or next try; ``failed`` after its last one; ``dropped``: the address was cleared or disabled."""


class WebhookDelivery(Message):
    """One delivery; of what the endpoint answered the status code alone. Times are Unix milliseconds."""

    webhook_id: str
    number: int
    """Its place among all: what is newer has a greater one."""
    type: str
    """``key.revoked``, ``webhook.test``, …"""
    key_id: str | None
    status: DeliveryStatus
    tries: int
    happened_on: int
    due_on: int | None
    """When it is tried next, while it waits; of one that is being tried now, half a minute from then."""
    last_tried_on: int | None
    last_status: int | None
    last_failure: str | None
    """Why the last try failed or the delivery was dropped, in a few words of ours."""
    ended_on: int | None


class WebhookEndpoint(Message):
    """How a client's address fares. Times are Unix milliseconds."""

    address: str | None = None
    failing_since: int | None = None
    """Since when every try has failed."""
    disabled_on: int | None = None
    """Since when nothing is sent, until the author sets an address again (the same one counts)."""
    disabled_why: DisabledWhy | None = None
    waiting: int = 0
    """Deliveries that wait for a try, counted up to a limit."""


class WebhookKeyView(Message):
    """One version of the keys that sign. The page derives the secret itself; its digest says whether that is this one."""

    version: int
    public_key: str
    """``whpk_`` and base64."""
    secret_digest: Digest
    ends_on: int | None
    """Unix milliseconds until when it signs; ``None`` where no end is known."""


class Webhooks(PersonalReply):
    """``done``: the webhooks of one client; deliveries and keys newest first. ``not_found``: unknown, or of another author."""

    outcome: Literal["done", "not_found"] = "not_found"
    client_name: str = ""
    endpoint: WebhookEndpoint = WebhookEndpoint()
    keys: tuple[WebhookKeyView, ...] = ()
    deliveries: tuple[WebhookDelivery, ...] = ()
    more: bool = False
    """Whether there are older deliveries."""


class ReadWebhooks(PersonalCommand[Webhooks]):
    """A client's webhooks, to its author."""

    type: ClassVar[str] = "webhook.read"

    client_id: str
    before: int | None = None
    """Only deliveries with a smaller ``number``; without it the newest."""


class WebhookActed(PersonalReply):
    """What came of a command.

    ``not_found``: no such client or delivery of this author. ``no_address``: there is none, or it is disabled. ``limit``: too
    many in a short time.
    """

    outcome: Literal["done", "not_found", "no_address", "limit"] = "not_found"
    detail: str = ""
    retry_after: int | None = None
    """Seconds, with ``limit``."""


class ResendWebhook(PersonalCommand[WebhookActed]):
    """Send a delivery again, with the same id and all its tries."""

    type: ClassVar[str] = "webhook.resend"

    client_id: str
    webhook_id: str


class SendTestWebhook(PersonalCommand[WebhookActed]):
    """Send ``webhook.test`` to a client's address."""

    type: ClassVar[str] = "webhook.test"

    client_id: str


class RotateWebhookKeys(PersonalCommand[WebhookActed]):
    """Replace the keys that sign; those before sign ``overlap_seconds`` longer."""

    type: ClassVar[str] = "webhook.rotate-keys"
    always_passes: ClassVar[bool] = True

    client_id: str
    version: int
    """The newest that the author saw: the same command again is a retry."""
    overlap_seconds: OverlapSeconds
