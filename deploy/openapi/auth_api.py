"""auth_api's part of the description of the REST interface: one entry for each public route."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, Field

from deploy.openapi.document import (
    FORM,
    JSON,
    SESSION,
    Answer,
    Operation,
    Parameter,
    Section,
    Shape,
    form,
    oauth_errors,
    problems,
)
from services.auth_api.authorize.create_code import CreatedCode
from services.auth_api.handlers import documents
from services.auth_api.handlers.account import PasswordChange, PasswordReset
from services.auth_api.handlers.clients import ClientChanges, NewClient, SecretReset
from services.auth_api.handlers.create_code import NewCode
from services.auth_api.handlers.credentials import CredentialsBody
from services.auth_api.handlers.external_users import EndedDocument, EndedPeople
from services.auth_api.handlers.keys import KeyChanges, NewKeyFile, NewPersonalKey, Rotation
from services.auth_api.handlers.login_requests import LoginRequestDocument, SignInAnswer, SignInAnswered
from services.auth_api.handlers.webhook_keys import WebhookKeyRotation
from services.auth_api.oauth.client_registration import ClientMetadata
from shared.contracts.access import ConnectedApp
from shared.contracts.clients import Attempt
from shared.contracts.sessions import SessionView

_READ: Final = problems(400, 401, 404, 405, 429, 503)
_CHANGE: Final = problems(400, 401, 403, 404, 405, 408, 409, 413, 415, 429, 503)
_OAUTH: Final = oauth_errors(400, 401, 403, 405, 408, 409, 413, 415, 422, 429, 503)
_OPEN: Final = oauth_errors(400, 405)
_SERVER: Final = problems(400, 401, 403, 404, 405, 408, 409, 413, 415, 503)
_SERVICE_KEY: Final = ("key",)
_CLIENT_OR_BODY: Final = ("client", "")
_OBJECT: Final = {"type": "object"}
_RETRY: Final = Parameter("Idempotency-Key", "header", "Makes a retry of the same request within 60 s safe.")


class TokenDocument(BaseModel):
    """The key (RFC 6749 §5.1); a JSON request is answered with ``success``, ``description`` and ``body`` besides."""

    access_token: str
    token_type: Literal["Bearer"]
    scope: str
    user_id: int = Field(alias="userID")
    identifier: str
    permissions: dict[str, bool]
    from_api_client: str = Field(alias="fromAPIClient")
    key_id: str = Field(alias="keyID")
    expires_in: int | None = None


class PushedRequestDocument(BaseModel):
    """RFC 9126 §2.2."""

    request_uri: str
    expires_in: int


class DeviceDocument(BaseModel):
    """RFC 8628 §3.2."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


_CREDENTIALS: Final = "client_id client_secret"
_CODE: Final = "code redirect_uri code_verifier device_code"
_ASKED: Final = "redirect_uri scope state context code_challenge code_challenge_method"
# RFC 6749 §4.1.3 and RFC 8628 §3.4; RFC 7009 §2.1; RFC 9126 §2.1; RFC 8628 §3.1.
_TOKEN_FORM: Final = form("grant_type", f"{_CODE} {_CREDENTIALS}")
_REVOCATION_FORM: Final = form("token", f"token_type_hint {_CREDENTIALS}")
_PUSHED_REQUEST_FORM: Final = form("response_type", f"{_CREDENTIALS} {_ASKED}")
_DEVICE_FORM: Final = form("", f"{_CREDENTIALS} scope")

Done = dict[int, Answer]
"""The status of success and what it answers."""


def _ok(meaning: str, body: Shape) -> Done:
    return {200: Answer(meaning, body)}


def _made(meaning: str, body: Shape) -> Done:
    return {201: Answer(meaning, body)}


def _ended(meaning: str) -> Done:
    return {204: Answer(meaning)}


def _read(summary: str, done: Done) -> Operation:
    return Operation(summary, done | _READ, security=SESSION)


def _change(summary: str, done: Done, body: Shape = None) -> Operation:
    return Operation(summary, done | _CHANGE, {JSON: body} if body else {}, security=SESSION)


def _form(summary: str, done: Done, body: Shape) -> Operation:
    return Operation(summary, done | _OAUTH, {FORM: body}, security=_CLIENT_OR_BODY)


SECTIONS: Final[dict[str, Section]] = {
    "Accounts": {
        "POST /api/v1/users": Operation(
            "Sign up",
            _made("The account, and a session cookie.", documents.UserDocument) | _CHANGE,
            {JSON: CredentialsBody},
        ),
        "POST /api/v1/session": Operation(
            "Sign in",
            _ok("Who is signed in, and a session cookie.", documents.UserDocument) | _CHANGE,
            {JSON: CredentialsBody},
        ),
        "GET /api/v1/session": _read("Who is signed in", _ok("The person.", documents.UserDocument)),
        "DELETE /api/v1/session": _change("Sign out", _ended("The session is dead.")),
        "POST /api/v1/account/password": _change(
            "Change your password",
            _ended("It is changed; every other session is dead, and this one has a new cookie."),
            PasswordChange,
        ),
        "POST /api/v1/account/password-reset": Operation(
            "Set a new password by the operator's link",
            _ended("It is set; the link is used up, every session of the account is dead.")
            | problems(400, 403, 404, 405, 408, 413, 415, 429, 503),
            {JSON: PasswordReset},
        ),
        "GET /api/v1/account/sessions": _read(
            "Where you are signed in",
            _ok(
                "This session first, then the newest; `lastSeenOn` is exact to half a day.", list[SessionView]
            ),
        ),
        "DELETE /api/v1/account/sessions": _change(
            "Sign out everywhere else", _ended("Every other session is dead.")
        ),
        "DELETE /api/v1/account/sessions/{sessionID}": _change(
            "End one session", _ended("The session is dead.")
        ),
    },
    "Clients": {
        "POST /api/v1/clients": _change(
            "Register a client",
            _made("The client and, this once, its secret.", documents.ClientDocument),
            NewClient,
        ),
        "GET /api/v1/clients": _read("Your clients", _ok("Newest first.", list[documents.ClientDocument])),
        "GET /api/v1/clients/{clientID}": Operation(
            "One client, to anybody",
            _ok("Without secret and webhook.", documents.PublicClientDocument) | _READ,
        ),
        "PATCH /api/v1/clients/{clientID}": _change(
            "Change a client", _ok("The client as it is now.", documents.ClientDocument), ClientChanges
        ),
        "DELETE /api/v1/clients/{clientID}": _change(
            "Delete a client and everything it was given",
            _ended("Every key, code and pending request of it is dead."),
        ),
        "POST /api/v1/clients/{clientID}/reset-secret": _change(
            "Give a client a new secret",
            _ok("The client with its new secret, shown this once.", documents.ClientDocument),
            SecretReset,
        ),
        "GET /api/v1/clients/{clientID}/attempts": _read(
            "The last attempts of a client",
            _ok(
                "Each with its cause; by the client, by people signed in, by anybody: at most 100 each, newest first.",
                list[Attempt],
            ),
        ),
        "GET /api/v1/clients/{clientID}/webhook-keys": _read(
            "The keys that sign a client's webhooks",
            _ok(
                "Newest first; also before the client has an address for webhooks.",
                documents.WebhookKeysDocument,
            ),
        ),
        "POST /api/v1/clients/{clientID}/webhook-keys/rotate": Operation(
            "Replace the keys that sign a client's webhooks",
            _ok("The new keys, then those before, which sign until `endsOn`.", documents.WebhookKeysDocument)
            | _CHANGE,
            {JSON: WebhookKeyRotation},
            parameters=(
                Parameter(
                    "Idempotency-Key",
                    "header",
                    "A rotation with the same one (or again with none) and the same overlap within ten minutes is a retry"
                    " of the first.",
                ),
            ),
            security=SESSION,
        ),
    },
    "OAuth 2.0": {
        "POST /api/v1/oauth/create-code": Operation(
            "Consent through your own front end",
            _ok("The code and where to send the person.", CreatedCode) | _OAUTH | oauth_errors(404),
            {JSON: NewCode},
            security=SESSION,
        ),
        "POST /api/v1/oauth/token": Operation(
            "Swap a code for a key",
            _ok("The key, shown this once.", TokenDocument) | _OAUTH,
            {FORM: _TOKEN_FORM, JSON: _TOKEN_FORM},
            parameters=(_RETRY,),
            security=_CLIENT_OR_BODY,
        ),
        "POST /api/v1/oauth/revoke": _form(
            "Give a key back",
            _ok("It is dead, or was no key of this client's.", _OBJECT),
            _REVOCATION_FORM,
        ),
        "POST /api/v1/oauth/par": _form(
            "Push an authorization request",
            _made("What to send the person with.", PushedRequestDocument),
            _PUSHED_REQUEST_FORM,
        ),
        "POST /api/v1/oauth/device_authorization": _form(
            "Begin on a device without a browser",
            _ok("What to show the person.", DeviceDocument),
            _DEVICE_FORM,
        ),
        "POST /api/v1/oauth/register": Operation(
            "Let a program register itself (off unless the operator turns it on)",
            _made("The client and, this once, its secret.", _OBJECT) | _OAUTH | oauth_errors(404),
            {JSON: ClientMetadata},
        ),
        "GET /.well-known/oauth-authorization-server": Operation(
            "What this server can do", _ok("RFC 8414 metadata.", _OBJECT) | _OPEN
        ),
    },
    "Keys": {
        "GET /api/v1/apps": _read(
            "Connected apps", _ok("Clients with a key or consent.", list[ConnectedApp])
        ),
        "DELETE /api/v1/apps/{clientID}": _change(
            "Disconnect an app", _ended("Everything it was given is dead.")
        ),
        "GET /api/v1/keys": Operation(
            "Your keys",
            {
                200: Answer(
                    "Newest first, at most 200; where there are more, `Link` leads to the next page (RFC 8288).",
                    list[documents.KeyDocument],
                    headers=("Link",),
                )
            }
            | _READ,
            parameters=(Parameter("cursor", "query", "As the `Link` of the page before has it."),),
            security=SESSION,
        ),
        "POST /api/v1/keys": _change(
            "Make a key",
            _made("The key, shown this once.", documents.NewKeyDocument),
            NewPersonalKey | NewKeyFile,
        ),
        "PATCH /api/v1/keys/{keyID}": _change(
            "Turn a key down, or rename it", _ok("The key as it is now.", documents.KeyDocument), KeyChanges
        ),
        "DELETE /api/v1/keys/{keyID}": _change(
            "Take a key back", _ended("Dead at every verifier within a second.")
        ),
        "POST /api/v1/keys/{keyID}/rotate": _change(
            "Replace a key", _ok("The new key, shown this once.", documents.NewKeyDocument), Rotation
        ),
    },
    "For the site's own servers": {
        "GET /api/v1/login-requests/{challenge}": Operation(
            "What a sign-in under way is about",
            _ok("The challenge, the app that waits if one does, and its end.", LoginRequestDocument)
            | _SERVER,
            security=_SERVICE_KEY,
        ),
        "PUT /api/v1/login-requests/{challenge}": Operation(
            "Say who somebody is, or why they must not come in",
            _ok("Where to send the browser; the same again for the same answer.", SignInAnswered) | _SERVER,
            {JSON: SignInAnswer},
            security=_SERVICE_KEY,
        ),
        "DELETE /api/v1/external-users/{externalID}": Operation(
            "End a person",
            _ended("Sessions, codes and keys are dead.") | _SERVER,
            parameters=(Parameter("issuer", "query", "Only where this one gives the id."),),
            security=_SERVICE_KEY,
        ),
        "POST /api/v1/external-users/end": Operation(
            "End up to 10,000 people",
            _ok("How many are closed now, and the ids that nobody here has.", EndedDocument) | _SERVER,
            {JSON: EndedPeople},
            security=_SERVICE_KEY,
        ),
    },
    "Documents": {
        "GET /api/v1/openapi.json": Operation("This description", _ok("OpenAPI 3.1.", _OBJECT) | _OPEN),
    },
}
"""Heading → its operations, as the page about the interface shows them."""
