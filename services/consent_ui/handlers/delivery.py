"""Answers that show a new key: once the page has gone out, the issuer learns that the key reached its holder."""

from __future__ import annotations

from typing import Any

import structlog
from aiohttp import web

from services.consent_ui.resources import RESOURCES
from services.consent_ui.views.key_file import NewKeyView
from services.consent_ui.visitor import Visitor
from shared.bus import Bus
from shared.contracts.keys import ConfirmDelivery
from shared.errors import StoreUnavailable

_log = structlog.get_logger("latchkey.pages")


class _KeyPage(web.Response):
    """A page that confirms the delivery of its key after its last byte was written."""

    def __init__(self, bus: Bus, key_id: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._bus = bus
        self._key_id = key_id

    async def write_eof(self, data: bytes = b"") -> None:
        """Writes the page; a connection that is gone raises, and an unconfirmed key is revoked by the issuer."""
        sent_before = self._eof_sent
        await super().write_eof(data)
        if sent_before:
            return
        try:
            await self._bus.send(ConfirmDelivery(key_ids=(self._key_id,)))
        except StoreUnavailable as error:
            _log.warning("delivery_not_confirmed", key_id=self._key_id, reason=str(error))


def key_page(request: web.Request, view: NewKeyView, visitor: Visitor | None = None) -> web.Response:
    """The page that shows a key, this once: never stored, and confirmed when it has been sent."""
    resources = request.app[RESOURCES]
    page = resources.pages.respond("new_key.html", view, visitor=visitor)
    return _KeyPage(resources.bus, view.key_id, text=page.text, headers=page.headers)
