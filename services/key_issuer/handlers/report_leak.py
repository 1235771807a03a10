"""``/api/v1/keys/report-leak``: whoever has found a key can end it, and learns nothing by it; a partner many at once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field

from services.key_issuer.leak_partner import LeakPartner
from services.key_issuer.resources import RESOURCES
from services.key_issuer.revocation import end_leaked
from shared.secret_tokens import digest_of
from shared.web.body import (
    JSON,
    LARGEST_BODY,
    SMALL_BODY,
    json_response,
    read_body,
    read_json,
    require_media_type,
)
from shared.web.failures import Problem

IDENTIFIER: Final = "Github-Public-Key-Identifier"
SIGNATURE: Final = "Github-Public-Key-Signature"
LARGEST_REPORT: Final = 1_000_000
"""Bytes: as much as the proxy passes on."""
MOST_MATCHES: Final = 10_000
LONGEST_TYPE: Final = 200

_log = structlog.get_logger(__name__)


class LeakReport(BaseModel):
    """A key that was found where it does not belong."""

    model_config = ConfigDict(extra="forbid", strict=True)

    token: str = Field(repr=False)


@dataclass(frozen=True, slots=True)
class Match:
    """What a partner's scanner took for a key, and what it calls that kind; ``None`` where it sent no such text."""

    token: str | None = field(repr=False)
    token_type: str | None


async def report_leak(request: web.Request) -> web.Response:
    """202 whether it was a key or not; 400 only where the body is no such object. A signed report: see ``_take_list``.

    Holding the key is the only credential.
    """
    if IDENTIFIER in request.headers or SIGNATURE in request.headers:
        return await _take_list(request)
    report = await read_json(request, LeakReport, SMALL_BODY)
    await end_leaked(request.app[RESOURCES].issuer, [report.token.strip()])
    return web.Response(status=202, headers={hdrs.CACHE_CONTROL: "no-store"})


async def _take_list(request: web.Request) -> web.Response:
    """A report of GitHub's secret scanning partner programme: 200 with its feedback, once every key in it is dead.

    The signature proves nothing about the keys, which prove themselves. It is why a long list is read at all, and why
    its sender is told which of them were keys.
    """
    resources = request.app[RESOURCES]
    report = await _read_signed(request, resources.leak_partner)
    matches = read_matches(report)
    tokens = {match.token.strip() for match in matches if match.token is not None}
    keys = await end_leaked(resources.issuer, tokens)
    _log.info("leaks_reported", matches=len(matches), keys=len(keys))
    return json_response(
        [
            {
                "token_hash": digest_of(match.token),
                "token_type": match.token_type,
                "label": "true_positive" if match.token.strip() in keys else "false_positive",
            }
            for match in matches
            if match.token is not None and match.token_type is not None
        ]
    )


async def _read_signed(request: web.Request, partner: LeakPartner) -> bytes:
    """The body that the partner has signed.

    Raises:
        Problem: 403 naming the header that proves nothing, 400, 413, 415, 408, or 503 where there is no room.
    """
    identifier, signature = _only(request, IDENTIFIER), _only(request, SIGNATURE)
    if not await partner.knows(identifier):
        raise Problem(403, f"{IDENTIFIER} names no key that is believed here.")
    require_media_type(request, JSON)
    report = await _read_report(request, partner)
    if not partner.has_signed(identifier, signature, report):
        raise Problem(403, f"{SIGNATURE} is not that of this body with the key of {IDENTIFIER}.")
    return report


def _only(request: web.Request, name: str) -> str:
    values = request.headers.getall(name, [])
    if len(values) != 1:
        raise Problem(400, f"{name} must be there once: a signed report has {IDENTIFIER} and {SIGNATURE}.")
    return values[0]


async def _read_report(request: web.Request, partner: LeakPartner) -> bytes:
    """The body, whose signature can be known only afterwards: so few that are large are held at a time."""
    if (request.content_length or LARGEST_REPORT) <= LARGEST_BODY:
        return await read_body(request)
    if partner.room.locked():
        raise Problem(503, "Other large reports are being read; try again.", headers={hdrs.RETRY_AFTER: "5"})
    async with partner.room:
        return await read_body(request, LARGEST_REPORT)


def read_matches(report: bytes) -> list[Match]:
    """The entries of a partner's list, each by itself: what is wrong with one concerns none of the others.

    Raises:
        Problem: 400 where it is no JSON array, or has more than ``MOST_MATCHES`` entries.
    """
    try:
        entries = json.loads(report.decode(), parse_int=float)
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, list) or len(entries) > MOST_MATCHES:
        raise Problem(400, f"A signed report must be a JSON array of at most {MOST_MATCHES} objects.")
    return [_match_of(entry) for entry in entries]


def _match_of(entry: Any) -> Match:
    found = entry if isinstance(entry, dict) else {}
    token_type = _text(found.get("type"))
    is_long = token_type is not None and len(token_type) > LONGEST_TYPE
    return Match(_text(found.get("token")), None if is_long else token_type)


def _text(value: object) -> str | None:
    """The value, if it is text that can be written."""
    if not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return None
    return value
