"""A client's last attempts as its author reads them, and what they tell of the secret before the last reset."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from services.consent_ui.views.moments import Moment, ago, minute_of
from shared.contracts.clients import OVERLAP_USED, Attempt, ClientView

_STEP_NAMES: Final = {
    "authorize": "Consent page",
    "consent": "Decision",
    "create-code": "First-party consent",
    "token": "Code exchange",
    "file flow": "Key file",
    "device": "Device",
}
_ADVICE: Final = {
    "invalid_client": "Compare id and secret with this page; reset the secret if it is lost. The code was not spent.",
    "invalid_grant": "Mend the cause, then send the person through the link again: a code works once, and not for long.",
    "invalid_scope": "Ask for permissions that this client registered.",
    "invalid_request": "Compare the request with the REST interface.",
    "unsupported_grant_type": "Compare the request with the REST interface.",
    "unsupported_response_type": "Ask with response_type=code.",
    "request_not_supported": "Push the request (RFC 9126) and send the person with its request_uri.",
    "invalid_request_uri": "Push the request again: its address works once, for 90 seconds.",
    "login_required": "Send the person again without prompt=none.",
    "consent_required": "Send the person again without prompt=none.",
    "expired_token": "Start again with a new pair of device codes.",
    "slow_down": "Poll no faster than the interval.",
    "not_delivered": "Send the request again with an Idempotency-Key, or start again.",
}
"""Error code → what mends it. What only the person can change, like a decline, has none."""


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One line of the flight recorder."""

    on: Moment
    step: str
    ok: bool
    error: str | None
    cause: str
    advice: str | None
    request_id: str


@dataclass(frozen=True, slots=True)
class OldSecret:
    """The secret before the last reset, while it is let work on."""

    until: Moment
    last_used: Moment | None
    """``None`` where none of the last attempts was made with it."""


def attempt_lines(attempts: Iterable[Attempt], *, refusals_only: bool) -> tuple[AttemptLine, ...]:
    """The attempts, newest first; those that went well are left out where only refusals are asked for."""
    return tuple(_line(attempt) for attempt in attempts if not refusals_only or attempt.result == "refused")


def old_secret_of(client: ClientView, attempts: Iterable[Attempt], now: int) -> OldSecret | None:
    """The old secret of a client, while it still works at ``now``."""
    until = client.old_secret_until
    if until is None or until <= now:
        return None
    uses = [attempt.on for attempt in attempts if attempt.cause == OVERLAP_USED]
    return OldSecret(minute_of(until), ago(max(uses), now) if uses else None)


def _line(attempt: Attempt) -> AttemptLine:
    return AttemptLine(
        on=minute_of(attempt.on),
        step=_STEP_NAMES.get(attempt.step, attempt.step),
        ok=attempt.result == "ok",
        error=attempt.error,
        cause=attempt.cause,
        advice=None if attempt.error is None else _ADVICE.get(attempt.error),
        request_id=attempt.request_id,
    )
