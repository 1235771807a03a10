"""``/api/v1/keys/report-leak``: whoever has found a key can end it, and learns nothing by it."""

from __future__ import annotations

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from services.key_issuer.resources import RESOURCES
from services.key_issuer.revocation import end_leaked
from shared.web.body import SMALL_BODY, read_json


class LeakReport(BaseModel):
    """A key that was found where it does not belong."""

    model_config = ConfigDict(extra="forbid", strict=True)

    token: str = Field(repr=False)


async def report_leak(request: web.Request) -> web.Response:
    """202 whether it was a key or not; 400 only where the body is no such object.

    Holding the key is the only credential.
    """
    report = await read_json(request, LeakReport, SMALL_BODY)
    await end_leaked(request.app[RESOURCES].issuer, report.token.strip())
    return web.Response(status=202, headers={"Cache-Control": "no-store"})
