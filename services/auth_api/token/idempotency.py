"""Safe retries of an exchange: the key is derived, not kept, so the same request can be answered again."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.auth_api.codes import scripts
from services.auth_api.codes.store import SLOT
from services.auth_api.oauth.errors import OAuthError, invalid_request
from services.auth_api.oauth.token import TokenRequest
from services.auth_api.resources import Resources
from shared.secret_tokens import keyed_digest
from shared.settings import Settings

HEADER: Final = "Idempotency-Key"

_BARE: Final = re.compile(r"[\x21\x23-\x7e][\x21-\x7e]{0,254}")
_QUOTED: Final = re.compile(r'"([\x21\x23-\x7e]{1,255})"')


@dataclass(frozen=True, slots=True)
class FirstRequest:
    """What is kept for 60 s of a request that carried an ``Idempotency-Key`` and spent its code."""

    fingerprint: str
    abandoned: str
    """Ids of keys that were given up before it; part of what its key is derived from."""
    message: str
    """The id of the message that has spent the code."""
    deadline: int
    """Unix milliseconds by the clock of Redis; until then the first request may still be running."""
    done: bool
    """It was answered."""


def read_idempotency_key(headers: Sequence[str]) -> str | None:
    """The key, or ``None`` where no header was sent. ``"abc"`` and ``abc`` are the same key.

    Bare or quoted: draft-ietf-httpapi-idempotency-key-header §2.1.

    Raises:
        OAuthError: ``invalid_request``.
    """
    if not headers:
        return None
    text = headers[0].strip(" \t")
    quoted = _QUOTED.fullmatch(text)
    if len(headers) > 1 or (quoted is None and not _BARE.fullmatch(text)):
        raise invalid_request(f"{HEADER} must be sent once, with 1 to 255 visible ASCII characters.")
    return quoted[1] if quoted else text


def retry_key_of(settings: Settings, client_id: str, header: str) -> str:
    """Where the first request with this header of this client is remembered; the header itself is not."""
    return f"{SLOT}:retry:{keyed_digest(settings.secret, 'retry', client_id, header)}"


def fingerprint_of(settings: Settings, client_id: str, request: TokenRequest) -> str:
    """What makes two requests the same: everything but the way the client authenticates."""
    return keyed_digest(
        settings.secret,
        "token-request",
        client_id,
        request.grant_type,
        request.code,
        request.redirect_uri or "",
        request.verifier or "",
    )


async def find_first(resources: Resources, retry_key: str) -> FirstRequest | None:
    """The first request of a retry, or ``None`` where there was none within 60 s."""
    found = await resources.bus.redis.execute(
        "HMGET", retry_key, "fingerprint", "abandoned", "message", "deadline", "done"
    )
    fingerprint, abandoned, message, deadline, done = found
    if fingerprint is None:
        return None
    return FirstRequest(
        fingerprint.decode(), abandoned.decode(), message.decode(), int(deadline), done == b"1"
    )


async def note_done(resources: Resources, retry_key: str) -> None:
    """Notes that the first request has its answer: a retry need not wait for its deadline."""
    await resources.bus.redis.run_script(scripts.NOTE_DONE, keys=[retry_key])


def check_retry(first: FirstRequest, fingerprint: str, now: int) -> None:
    """Whether a request may be answered as the first one was.

    Raises:
        OAuthError: 422 where it is another request, 409 while the first is running.
    """
    if not hmac.compare_digest(first.fingerprint, fingerprint):
        raise OAuthError(
            "invalid_request",
            "This Idempotency-Key was used for another request.",
            cause="the Idempotency-Key was used for a request with other fields",
            status=422,
        )
    if not first.done and now < first.deadline:
        raise still_running()


def still_running() -> OAuthError:
    """409: the first request with this Idempotency-Key has no answer yet."""
    return OAuthError(
        "invalid_request",
        "The first request with this Idempotency-Key is still running; try again in a moment.",
        cause="a request with the same Idempotency-Key was still running",
        status=409,
    )
