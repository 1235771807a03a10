"""The error pages of the authorization endpoint: what happened, why, and what the person can do."""

from __future__ import annotations

from typing import Final

from services.auth_api.oauth.errors import OAuthError
from shared.contracts.authorization import ErrorPage

_ASK_THE_APP: Final = (
    "Go back to the app and start again. If this page comes again, tell the developer of the app."
)
_NOTHING_GIVEN: Final = "Nothing was given to the app. Go back to it and start again."

UNKNOWN_CLIENT: Final = ErrorPage(
    status=404,
    title="This app is not known here",
    reason="The link names an app that is not registered on this site, or not any more.",
    advice=_ASK_THE_APP,
)
EXPIRED_REQUEST: Final = ErrorPage(
    status=400,
    title="This page has expired",
    reason="A request to connect an app can be answered for 10 minutes.",
    advice=_NOTHING_GIVEN,
)
STALE_REQUEST: Final = ErrorPage(
    status=409,
    title="The app has changed meanwhile",
    reason="The app, its return address or one of the permissions it asked for was changed or removed.",
    advice=_NOTHING_GIVEN,
)
WITHDRAWN_REQUEST: Final = ErrorPage(
    status=409,
    title="This request was taken back",
    reason="The app was disconnected after this page was opened.",
    advice="Nothing was given to the app. To connect it again, go back to the app and start again.",
)
UNKNOWN_USER_CODE: Final = ErrorPage(
    status=404,
    title="This code is not known",
    reason="No device is waiting for this code. It may be mistyped, used already, or older than 10 minutes.",
    advice="Compare it with what the device shows, or let the device show a new one.",
)


def broken_link(error: OAuthError) -> ErrorPage:
    """The request breaks a rule before the browser may be redirected anywhere."""
    return ErrorPage(
        status=400, title="This link does not work", reason=error.description, advice=_ASK_THE_APP
    )


def too_many_requests(seconds: int) -> ErrorPage:
    """The person, or people at their peer, make us keep too much."""
    return ErrorPage(
        status=429,
        title="Too many requests",
        reason="Too many requests of apps were opened or answered from this account or address in a short time.",
        advice=f"Nothing was given to the app. Try again in {seconds} seconds.",
        retry_after=seconds,
    )


def too_many_codes(seconds: int) -> ErrorPage:
    """The person or their peer guessed too often."""
    return ErrorPage(
        status=429,
        title="Too many codes",
        reason="Too many codes were tried that no device is waiting for.",
        advice=f"Try again in {seconds} seconds.",
        retry_after=seconds,
    )
