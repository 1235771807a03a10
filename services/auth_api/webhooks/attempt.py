"""One try of one delivery: signed anew, sent, and judged by the status line alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from services.auth_api.webhooks.signing import WebhookKey, signature_header
from shared.clock import Clock
from shared.version import VERSION
from shared.web.guarded_fetcher import AddressRefusedError, FetchFailedError, GuardedFetcher

TRY_SECONDS: Final = 10.0
GONE: Final = 410

_log = structlog.get_logger("latchkey.webhooks")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a try."""

    tried_on: int
    """Unix milliseconds at which it ended."""
    seconds: float
    delivered: bool
    status: int | None
    """The HTTP status, where there was an answer."""
    failure: str | None
    """Why it failed, in a few words of ours; ``None`` where it did not."""
    result: str
    """The same in one word, of which there are few, for the metrics."""
    retry_after: str | None
    """The header as the endpoint gave it."""


async def attempt(
    fetcher: GuardedFetcher,
    clock: Clock,
    address: str,
    webhook_id: str,
    body: bytes,
    keys: Sequence[WebhookKey],
) -> Outcome:
    """Sends one delivery to an address, signed with each of the keys, and waits up to ``TRY_SECONDS`` for the status.

    Success is any 2xx; a redirect is not followed. Nothing of the answer's body is read.
    """
    begun, timestamp = clock.monotonic(), clock.now() // 1000
    headers = {
        "content-type": "application/json",
        "user-agent": f"Latchkey/{VERSION}",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature_header(keys, webhook_id, timestamp, body),
    }
    status, retry_after = None, None
    failure: str | None
    try:
        answer = await fetcher.fetch("POST", address, headers, body, seconds=TRY_SECONDS, most_bytes=0)
    except AddressRefusedError:
        failure, result = "the address is none that may be called", "refused"
    except FetchFailedError as error:
        failure, result = _WORDS[error.reason], error.reason
    except Exception:  # noqa: BLE001 - an address that finds a bug fails; it does not end the process, again and again
        _log.exception("webhook_try_broke", webhook_id=webhook_id)
        failure, result = "it could not be sent", "error"
    else:
        status, retry_after = answer.status, answer.headers.get("Retry-After")
        delivered = status // 100 == 2  # noqa: PLR2004 - the class of success
        failure = None if delivered else f"it answered {status}"
        result = "delivered" if delivered else f"{status // 100}xx"
    return Outcome(
        clock.now(), clock.monotonic() - begun, failure is None, status, failure, result, retry_after
    )


_WORDS: Final = {
    "timeout": f"no answer within {TRY_SECONDS:.0f} seconds",
    "name": "the host's name is not known",
    "connection": "no connection, or it ended early",
    "tls": "no certificate that is trusted for the host",
    "proxy": "this site's way out does not work",
    "answer": "the answer was no HTTP",
}
