"""A client's webhooks as consent_ui shows and steers them: whose session it is has been found out already."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

from services.auth_api.clients.registry import UnknownClientError, read_own_client
from services.auth_api.rate_limit import Throttled
from services.auth_api.resources import Resources
from services.auth_api.webhooks.console import (
    NoAddressError,
    UnknownDeliveryError,
    list_deliveries,
    read_endpoint,
    replay_delivery,
    send_test,
)
from services.auth_api.webhooks.keys import live_keys, rotate_keys
from services.auth_api.webhooks.signing import WebhookKey
from shared.contracts.sessions import SessionUser
from shared.contracts.webhooks import (
    ReadWebhooks,
    ResendWebhook,
    RotateWebhookKeys,
    SendTestWebhook,
    WebhookActed,
    WebhookKeyView,
    Webhooks,
)
from shared.secret_tokens import digest_of

PAGE: Final = 50
"""Deliveries on one page."""


async def read(resources: Resources, user: SessionUser, command: ReadWebhooks) -> Webhooks:
    """Address, keys and a page of deliveries of one client, to its author."""
    try:
        client = await read_own_client(resources, user.user_id, command.client_id)
    except UnknownClientError:
        return Webhooks(outcome="not_found")
    endpoint, keys, found = await asyncio.gather(
        read_endpoint(resources, client),
        live_keys(resources, client.client_id),
        list_deliveries(resources, client, limit=PAGE + 1, before=command.before),
    )
    return Webhooks(
        outcome="done",
        client_name=client.name,
        endpoint=endpoint,
        keys=tuple(map(_key_view, keys)),
        deliveries=found[:PAGE],
        more=len(found) > PAGE,
    )


async def resend(resources: Resources, user: SessionUser, command: ResendWebhook) -> WebhookActed:
    """Sends one delivery again."""
    return await _acted(replay_delivery(resources, user.user_id, command.client_id, command.webhook_id))


async def test(resources: Resources, user: SessionUser, command: SendTestWebhook) -> WebhookActed:
    """Sends a test event."""
    return await _acted(send_test(resources, user.user_id, command.client_id))


async def rotate(resources: Resources, user: SessionUser, command: RotateWebhookKeys) -> WebhookActed:
    """New keys in place of the version that the author saw."""
    request, overlap = f"page {command.version}", command.overlap_seconds
    return await _acted(rotate_keys(resources, user.user_id, command.client_id, overlap, request))


async def _acted(acting: Awaitable[object]) -> WebhookActed:
    """What came of it."""
    try:
        await acting
    except (UnknownClientError, UnknownDeliveryError):
        return WebhookActed(outcome="not_found")
    except NoAddressError:
        return WebhookActed(outcome="no_address")
    except Throttled as error:
        return WebhookActed(outcome="limit", detail=error.failure.detail, retry_after=error.retry_after)
    return WebhookActed(outcome="done")


def _key_view(key: WebhookKey) -> WebhookKeyView:
    return WebhookKeyView(
        version=key.version,
        public_key=key.public_key,
        secret_digest=digest_of(key.secret),
        ends_on=key.ends_on,
    )
