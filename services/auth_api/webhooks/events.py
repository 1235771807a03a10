"""What a program is told: the bytes of an event, made once, and the id by which its receiver knows it again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import orjson

from shared.contracts.events import KeysChanged
from shared.secret_tokens import digest_of, random_base62

TEST_TYPE: Final = "webhook.test"
NARROWED_TYPE: Final = "key.narrowed"


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """One event for one client's program; ``happened_on`` in Unix milliseconds."""

    webhook_id: str
    """8 to 64 of ``[A-Za-z0-9_-]``; the same in every try."""
    client_id: str
    user_id: int | None
    type: str
    key_id: str | None
    body: bytes
    """UTF-8 JSON, sent as it is in every try."""
    happened_on: int


def iso_time(milliseconds: int) -> str:
    """ISO 8601 in UTC of a Unix time in milliseconds, like ``2026-11-29T11:38:54.000Z``."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def events_of(changed: KeysChanged, message_id: str) -> Iterator[WebhookEvent]:
    """One event for each of the keys; from the same message (``message_id`` on the bus) always the same ones."""
    event_type, timestamp = f"key.{changed.change}", iso_time(changed.on)
    for key in changed.keys:
        who = {} if key.external_user is None else {"externalUser": key.external_user}
        data = {
            "keyID": key.key_id,
            "userID": key.user_id,
            **who,
            "clientID": key.client_id,
            "reason": changed.reason,
        }
        yield WebhookEvent(
            webhook_id=f"msg_{digest_of(f'{message_id} {key.key_id}')[:40]}",
            client_id=key.client_id,
            user_id=key.user_id,
            type=event_type,
            key_id=key.key_id,
            body=orjson.dumps({"type": event_type, "timestamp": timestamp, "data": data}),
            happened_on=changed.on,
        )


def test_event(client_id: str, now: int) -> WebhookEvent:
    """A test that the author asked for; it tells of no key and nobody."""
    body = orjson.dumps({"type": TEST_TYPE, "timestamp": iso_time(now), "data": {"clientID": client_id}})
    return WebhookEvent(f"msg_{random_base62(30)}", client_id, None, TEST_TYPE, None, body, now)
