"""auth_api's part of the description of the REST interface: one entry for each public route."""

from __future__ import annotations

from typing import Final

from services.auth_api.handlers import documents
from services.auth_api.handlers.clients import ClientChanges, NewClient, SecretReset
from services.auth_api.handlers.create_code import NewCode
from services.auth_api.handlers.credentials import CredentialsBody
from services.auth_api.handlers.keys import KeyChanges, NewKeyFile, NewPersonalKey, Rotation
from shared.openapi import FORM, JSON, Answer, Operation, Parameter, oauth_errors, problems

_CLIENT: Final = Parameter("clientID", "path", "The client's id.")
_KEY: Final = Parameter("keyID", "path", "The key's public id.")
_ORIGIN: Final = Parameter("Origin", "header", "The public origin; a change made with the cookie needs it.")
_RETRY: Final = Parameter("Idempotency-Key", "header", "Makes a retry of the same request within 60 s safe.")
_READ: Final = problems(400, 401, 404, 405, 429, 503)
_CHANGE: Final = problems(400, 401, 403, 404, 405, 408, 409, 413, 415, 429, 503)
_OAUTH: Final = oauth_errors(400, 401, 403, 405, 408, 409, 413, 415, 422, 429, 503)
_SESSION: Final = ("session",)
_CLIENT_OR_BODY: Final = ("client", "")
_NEW_KEY: Final = {
    "anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("NewPersonalKey", "NewKeyFile")]
}

ACCOUNTS: Final = (
    Operation(
        "POST",
        "/api/v1/users",
        "Sign up",
        "Accounts",
        {201: Answer("The account, and a session cookie.", documents.UserDocument), **_CHANGE},
        {JSON: CredentialsBody},
    ),
    Operation(
        "POST",
        "/api/v1/session",
        "Sign in",
        "Accounts",
        {200: Answer("Who is signed in, and a session cookie.", documents.UserDocument), **_CHANGE},
        {JSON: CredentialsBody},
    ),
    Operation(
        "GET",
        "/api/v1/session",
        "Who is signed in",
        "Accounts",
        {200: Answer("The person.", documents.UserDocument), **_READ},
        security=_SESSION,
    ),
    Operation(
        "DELETE",
        "/api/v1/session",
        "Sign out",
        "Accounts",
        {204: Answer("The session is dead."), **_CHANGE},
        parameters=(_ORIGIN,),
        security=_SESSION,
    ),
)

CLIENTS: Final = (
    Operation(
        "POST",
        "/api/v1/clients",
        "Register a client",
        "Clients",
        {201: Answer("The client and, this once, its secret.", documents.ClientDocument), **_CHANGE},
        {JSON: NewClient},
        parameters=(_ORIGIN,),
        security=_SESSION,
    ),
    Operation(
        "GET",
        "/api/v1/clients",
        "Your clients",
        "Clients",
        {
            200: Answer(
                "Newest first.", {"type": "array", "items": {"$ref": "#/components/schemas/ClientDocument"}}
            ),
            **_READ,
        },
        security=_SESSION,
    ),
    Operation(
        "GET",
        "/api/v1/clients/{clientID}",
        "One client, to anybody",
        "Clients",
        {200: Answer("Without secret and webhook.", documents.PublicClientDocument), **_READ},
        parameters=(_CLIENT,),
    ),
    Operation(
        "PATCH",
        "/api/v1/clients/{clientID}",
        "Change a client",
        "Clients",
        {200: Answer("The client as it is now.", documents.ClientDocument), **_CHANGE},
        {JSON: ClientChanges},
        parameters=(_CLIENT, _ORIGIN),
        security=_SESSION,
    ),
    Operation(
        "DELETE",
        "/api/v1/clients/{clientID}",
        "Delete a client and everything it was given",
        "Clients",
        {204: Answer("Every key, code and pending request of it is dead."), **_CHANGE},
        parameters=(_CLIENT, _ORIGIN),
        security=_SESSION,
    ),
    Operation(
        "POST",
        "/api/v1/clients/{clientID}/reset-secret",
        "Give a client a new secret",
        "Clients",
        {
            200: Answer("The client with its new secret, shown this once.", documents.ClientDocument),
            **_CHANGE,
        },
        {JSON: SecretReset},
        parameters=(_CLIENT, _ORIGIN),
        security=_SESSION,
    ),
    Operation(
        "GET",
        "/api/v1/clients/{clientID}/attempts",
        "The last attempts of a client",
        "Clients",
        {
            200: Answer(
                "Newest first, at most 100, each with its cause.",
                {"type": "array", "items": {"$ref": "#/components/schemas/AttemptDocument"}},
            ),
            **_READ,
        },
        parameters=(_CLIENT,),
        security=_SESSION,
    ),
)

OAUTH: Final = (
    Operation(
        "POST",
        "/api/v1/oauth/create-code",
        "Consent through your own front end",
        "OAuth 2.0",
        {
            200: Answer("The code and where to send the person.", documents.CodeDocument),
            **_OAUTH,
            **oauth_errors(404),
        },
        {JSON: NewCode},
        parameters=(_ORIGIN,),
        security=_SESSION,
    ),
    Operation(
        "POST",
        "/api/v1/oauth/token",
        "Swap a code for a key",
        "OAuth 2.0",
        {200: Answer("The key, shown this once.", documents.TokenDocument), **_OAUTH},
        {FORM: documents.TokenForm, JSON: documents.TokenForm},
        parameters=(_RETRY,),
        security=_CLIENT_OR_BODY,
    ),
    Operation(
        "POST",
        "/api/v1/oauth/revoke",
        "Give a key back",
        "OAuth 2.0",
        {200: Answer("It is dead, or was no key of this client's.", {"type": "object"}), **_OAUTH},
        {FORM: documents.RevocationForm},
        security=_CLIENT_OR_BODY,
    ),
    Operation(
        "POST",
        "/api/v1/oauth/par",
        "Push an authorization request",
        "OAuth 2.0",
        {201: Answer("What to send the person with.", documents.PushedRequestDocument), **_OAUTH},
        {FORM: documents.PushedRequestForm},
        security=_CLIENT_OR_BODY,
    ),
    Operation(
        "POST",
        "/api/v1/oauth/device_authorization",
        "Begin on a device without a browser",
        "OAuth 2.0",
        {200: Answer("What to show the person.", documents.DeviceDocument), **_OAUTH},
        {FORM: documents.DeviceForm},
        security=_CLIENT_OR_BODY,
    ),
    Operation(
        "POST",
        "/api/v1/oauth/register",
        "Let a program register itself (off unless the operator turns it on)",
        "OAuth 2.0",
        {
            201: Answer("The client and, this once, its secret.", {"type": "object"}),
            **_OAUTH,
            **oauth_errors(404),
        },
        {JSON: documents.RegistrationBody},
    ),
    Operation(
        "GET",
        "/.well-known/oauth-authorization-server",
        "What this server can do",
        "OAuth 2.0",
        {200: Answer("RFC 8414 metadata.", {"type": "object"}), **oauth_errors(400, 405)},
    ),
)

DOCUMENTS: Final = (
    Operation(
        "GET",
        "/api/v1/openapi.json",
        "This description",
        "Documents",
        {200: Answer("OpenAPI 3.1.", {"type": "object"}), **oauth_errors(400, 405)},
    ),
)

KEYS: Final = (
    Operation(
        "GET",
        "/api/v1/apps",
        "Connected apps",
        "Keys",
        {
            200: Answer(
                "Clients with a key or consent.",
                {"type": "array", "items": {"$ref": "#/components/schemas/AppDocument"}},
            ),
            **_READ,
        },
        security=_SESSION,
    ),
    Operation(
        "DELETE",
        "/api/v1/apps/{clientID}",
        "Disconnect an app",
        "Keys",
        {204: Answer("Everything it was given is dead."), **_CHANGE},
        parameters=(_CLIENT, _ORIGIN),
        security=_SESSION,
    ),
    Operation(
        "GET",
        "/api/v1/keys",
        "Your keys",
        "Keys",
        {
            200: Answer(
                "Newest first, at most 200.",
                {"type": "array", "items": {"$ref": "#/components/schemas/KeyDocument"}},
            ),
            **_READ,
        },
        security=_SESSION,
    ),
    Operation(
        "POST",
        "/api/v1/keys",
        "Make a key",
        "Keys",
        {201: Answer("The key, shown this once.", documents.NewKeyDocument), **_CHANGE},
        {JSON: _NEW_KEY},
        parameters=(_ORIGIN,),
        security=_SESSION,
    ),
    Operation(
        "PATCH",
        "/api/v1/keys/{keyID}",
        "Turn a key down, or rename it",
        "Keys",
        {200: Answer("The key as it is now.", documents.KeyDocument), **_CHANGE},
        {JSON: KeyChanges},
        parameters=(_KEY, _ORIGIN),
        security=_SESSION,
    ),
    Operation(
        "DELETE",
        "/api/v1/keys/{keyID}",
        "Take a key back",
        "Keys",
        {204: Answer("Dead at every verifier within a second."), **_CHANGE},
        parameters=(_KEY, _ORIGIN),
        security=_SESSION,
    ),
    Operation(
        "POST",
        "/api/v1/keys/{keyID}/rotate",
        "Replace a key",
        "Keys",
        {200: Answer("The new key, shown this once.", documents.NewKeyDocument), **_CHANGE},
        {JSON: Rotation},
        parameters=(_KEY, _ORIGIN),
        security=_SESSION,
    ),
)

MODELS: Final = (
    documents.AppDocument,
    documents.AttemptDocument,
    documents.KeyDocument,
    documents.ClientDocument,
    NewPersonalKey,
    NewKeyFile,
)
"""Models that answers name by reference only."""

OPERATIONS: Final = (*ACCOUNTS, *CLIENTS, *OAUTH, *KEYS, *DOCUMENTS)
