"""The person's keys as a file for spreadsheets."""

from __future__ import annotations

from aiohttp import web

from services.consent_ui.access import list_access
from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import signed_in
from services.consent_ui.views.key_table import FILENAME, key_table
from services.consent_ui.visitor import Visitor


@signed_in
async def download_keys(request: web.Request, visitor: Visitor) -> web.Response:
    """``GET /keys.csv``: those that the start page lists. Changes nothing."""
    resources = request.app[RESOURCES]
    apps, keys = await list_access(resources, visitor)
    names = {app.client_id: app.name for app in apps.apps}
    return web.Response(
        body=key_table(resources, keys.keys, names),
        headers={"Content-Disposition": f'attachment; filename="{FILENAME}"'},
        content_type="text/csv",
        charset="utf-8",
    )
