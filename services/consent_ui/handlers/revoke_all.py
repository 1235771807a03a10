"""Taking everything back at once: every app disconnected, every key revoked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from services.consent_ui.access import list_access
from services.consent_ui.forms import read_page_form
from services.consent_ui.handlers.apps import DISCONNECT_SECONDS
from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import signed_in
from services.consent_ui.visitor import Visitor
from shared.contracts.apps import DisconnectApp
from shared.contracts.keys import RevokeKey
from shared.errors import StoreUnavailable
from shared.web.redirects import see_other

_FORM: Final = "revoke-all"
_LIVE: Final = frozenset({"active", "paused"})


@dataclass(frozen=True, slots=True)
class RevokeAllView:
    """The question before everything ends."""

    apps: int
    keys: int
    token: str


@dataclass(frozen=True, slots=True)
class _Holdings:
    """What has access: apps by their client, and the live keys; each once."""

    client_ids: tuple[str, ...]
    key_ids: tuple[str, ...]
    own_key_ids: tuple[str, ...]
    """Those that end with no app."""


@signed_in
async def ask_revoke_all(request: web.Request, visitor: Visitor) -> web.Response:
    """``GET /revoke-all``: how much breaks. Changes nothing."""
    resources = request.app[RESOURCES]
    held = await _held(request, visitor)
    view = RevokeAllView(
        len(held.client_ids), len(held.key_ids), resources.csrf.token(visitor.session, _FORM)
    )
    return resources.pages.respond("revoke_all.html", view, visitor=visitor)


@signed_in
async def revoke_all(request: web.Request, visitor: Visitor) -> web.Response:
    """``POST /revoke-all``: each app and key on its own, so that one that cannot end now keeps none of the others."""
    await read_page_form(request, _FORM)
    bus, held = request.app[RESOURCES].bus, await _held(request, visitor)
    endings: list[Awaitable[object]] = [
        bus.request(DisconnectApp(session=visitor.session, client_id=client_id), timeout=DISCONNECT_SECONDS)
        for client_id in held.client_ids
    ]
    endings += [
        bus.request(RevokeKey(key_id=key_id, user_id=visitor.user.user_id, reason="revoked by its owner"))
        for key_id in held.own_key_ids
    ]
    outcomes = await asyncio.gather(*endings, return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    for failure in failures:
        if not isinstance(failure, StoreUnavailable):
            raise failure
    return see_other("/?done=some-revoked" if failures else "/?done=all-revoked")


async def _held(request: web.Request, visitor: Visitor) -> _Holdings:
    apps, keys = await list_access(request.app[RESOURCES], visitor)
    client_ids = tuple(app.client_id for app in apps.apps)
    live = [key for key in keys.keys if key.status in _LIVE]
    return _Holdings(
        client_ids,
        tuple(key.key_id for key in live),
        tuple(key.key_id for key in live if key.client_id not in client_ids),
    )
