"""What has access to a person's account: their apps and their keys, asked for at once."""

from __future__ import annotations

import asyncio

from services.consent_ui.resources import Resources
from services.consent_ui.visitor import Visitor
from shared.contracts.apps import AppList, ListApps
from shared.contracts.keys import KeyList, ListKeys


async def list_access(resources: Resources, visitor: Visitor) -> tuple[AppList, KeyList]:
    """The apps that the person has connected, and the keys.

    Raises:
        BusUnavailable: one of them is not known now.
    """
    return await asyncio.gather(
        resources.bus.request(ListApps(session=visitor.session)),
        resources.bus.request(ListKeys(user_id=visitor.user.user_id)),
    )
