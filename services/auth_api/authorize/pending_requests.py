"""Pending requests: what a consent page was shown for, kept here so that nothing rides in the page's form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import orjson
from pydantic import TypeAdapter

from services.auth_api.oauth.authorization_request import (
    AUTHORIZE,
    REQUEST_AUTH,
    AuthorizationRequest,
    ParameterNames,
    sort_parameters,
)
from services.auth_api.resources import Resources
from shared.contracts.authorization import Flow
from shared.secret_tokens import random_base62

LIFETIME_MS: Final = 10 * 60_000
_ID_LENGTH: Final = 22
FLOW_NAMES: Final[Mapping[Flow, ParameterNames]] = MappingProxyType(
    {"authorize": AUTHORIZE, "request_auth": REQUEST_AUTH}
)
"""How the flows that begin with a query spell its parameters."""
_ID: Final = re.compile(r"[0-9A-Za-z]{22}")


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A checked request that waits for the decision of one person in one session."""

    surface: Flow
    session: str
    """Digest of the session that it was shown to."""
    user_id: int
    request: AuthorizationRequest
    begun_on: int
    """When the page was shown: if anything is taken back after that, the page cannot be accepted any more."""
    expires_on: int
    device_digest: str | None = None
    """The device code that waits for this decision."""
    pushed_key: str | None = None
    """Where the pushed request lies that this one came from (RFC 9126); used up by the decision."""
    passing: str | None = None
    """The digest of what passes through and is not kept: the page brings it back (``AuthorizationRequest.passing``)."""
    counted_at: str = ""
    """Where what people at the peer of the page make us keep is counted."""

    def without_passing(self) -> PendingRequest:
        """The request as it is kept where the page brings its query back: of a size that nobody chooses.

        What was pushed stays whole: no page knows it, and it is small.
        """
        if self.pushed_key is not None or self.surface not in FLOW_NAMES:
            return self
        return replace(self, request=self.request.without_passing(), passing=self.request.passing)

    def brought_back(self, query: Iterable[tuple[str, str]]) -> PendingRequest | None:
        """The request with what passes through, out of the page's query; ``None``: not the one that it was shown for."""
        names = FLOW_NAMES.get(self.surface)
        if self.passing is None or names is None:
            return self
        request = self.request.with_passing(sort_parameters(query, names))
        return replace(self, request=request) if request.passing == self.passing else None


_KEPT: Final = TypeAdapter(PendingRequest)


async def store_pending(resources: Resources, pending: PendingRequest) -> str:
    """Keeps a request for 10 minutes; its id for the page's form."""
    request_id = random_base62(_ID_LENGTH)
    await resources.bus.redis.execute("SET", _key(request_id), orjson.dumps(pending), "PX", str(LIFETIME_MS))
    return request_id


async def find_pending(resources: Resources, request_id: str) -> PendingRequest | None:
    """The request behind an id that came back from a page, or ``None`` where it is unknown or too old."""
    if not _ID.fullmatch(request_id):
        return None
    raw = await resources.bus.redis.execute("GET", _key(request_id))
    return None if raw is None else _KEPT.validate_json(raw)


def _key(request_id: str) -> str:
    return f"lk:pending:{request_id}"
