"""The service keys of listeners: looked at when a stream begins, and as long as it lasts."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from services.key_issuer.listeners import Listeners
from services.key_issuer.operators import INTROSPECT
from services.key_issuer.verification import LiveServiceKey, Verifier
from shared.errors import StoreUnavailable

LOOK_SECONDS: Final = 0.5
"""With the time that a key is remembered (``LIVE_SECONDS``), a key that ended unheard ends its streams within 6 s."""


def may_listen(key: LiveServiceKey | None) -> bool:
    """Whether a stream may begin, or go on, with this key."""
    return key is not None and INTROSPECT in key.permissions


async def watch_service_keys(listeners: Listeners, verifier: Verifier) -> None:
    """Ends the streams whose service key is not live any more, or lacks the permission now; until cancelled."""
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await listeners.keys_changed.wait()
        listeners.keys_changed.clear()
        tokens = {listener.token for listener in listeners}
        refused = {token for token in tokens if not await _may_go_on(verifier, token)}
        for listener in listeners:
            if listener.token in refused:
                listener.end("refused")


async def _may_go_on(verifier: Verifier, token: str) -> bool:
    """Where the table cannot be read nothing was revoked either, and the relay's heartbeat ends, too."""
    try:
        return may_listen(await verifier.live_service_key(token))
    except StoreUnavailable:
        return True
