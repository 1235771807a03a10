"""The error pages of the authorization endpoint: what happened, why, and what the person can do."""

from __future__ import annotations

from services.auth_api.oauth.errors import OAuthError
from shared.contracts.authorization import Refusal

_ASK_THE_APP = "Go back to the app and start again. If this page comes again, tell the developer of the app."


def unknown_client() -> Refusal:
    """The link names a client that nobody registered, or that was deleted."""
    return Refusal(
        status=404,
        title="This app is not known here",
        reason="The link names an app that is not registered on this site, or not any more.",
        advice=_ASK_THE_APP,
    )


def broken_link(error: OAuthError) -> Refusal:
    """The request breaks a rule before anybody may be redirected anywhere."""
    return Refusal(status=400, title="This link does not work", reason=error.description, advice=_ASK_THE_APP)


def expired_request() -> Refusal:
    """The page was open too long, or its request is not known."""
    return Refusal(
        status=400,
        title="This page has expired",
        reason="A request to connect an app can be answered for 10 minutes.",
        advice="Nothing was given to the app. Go back to it and start again.",
    )


def stale_request() -> Refusal:
    """What was asked for does not exist any more."""
    return Refusal(
        status=409,
        title="The app has changed meanwhile",
        reason="The app, its return address or one of the permissions it asked for was changed or removed.",
        advice="Nothing was given to the app. Go back to it and start again.",
    )


def withdrawn_request() -> Refusal:
    """The person took the app's access back after the page was shown."""
    return Refusal(
        status=409,
        title="This request was taken back",
        reason="The app was disconnected after this page was opened.",
        advice="Nothing was given to the app. To connect it again, go back to the app and start again.",
    )


def unknown_user_code() -> Refusal:
    """No device waits for this code."""
    return Refusal(
        status=404,
        title="This code is not known",
        reason="No device is waiting for this code. It may be mistyped, used already, or older than 10 minutes.",
        advice="Compare it with what the device shows, or let the device show a new one.",
    )


def too_many_codes(seconds: int) -> Refusal:
    """The person or their peer guessed too often."""
    return Refusal(
        status=429,
        title="Too many codes",
        reason="Too many codes were tried that no device is waiting for.",
        advice=f"Try again in {seconds} seconds.",
        retry_after=seconds,
    )
