"""``/api/v1/keys/report-leak``: whoever has found a key can end it, and learns nothing by it."""

from __future__ import annotations

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from services.key_issuer.issuer import Issuer
from services.key_issuer.leaks import end_leaked
from shared.web.body import read_json


class LeakReport(BaseModel):
    """A key that was found where it does not belong."""

    model_config = ConfigDict(extra="forbid", strict=True)

    token: str = Field(repr=False)


class ReportLeakHandler:
    """Holding the key is the only credential."""

    def __init__(self, issuer: Issuer) -> None:
        """``issuer`` is the process's."""
        self._issuer = issuer

    async def handle(self, request: web.Request) -> web.Response:
        """202 whether it was a key or not; 400 only where the body is no such object."""
        report = await read_json(request, LeakReport)
        await end_leaked(self._issuer, report.token.strip())
        return web.Response(status=202, headers={"Cache-Control": "no-store"})
