"""key_issuer's part of the description of the REST interface: one entry for each public route."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel

from deploy.openapi.document import (
    FORM,
    JSON,
    Answer,
    Operation,
    Parameter,
    Section,
    form,
    oauth_errors,
    problems,
)
from services.key_issuer.handlers.report_leak import IDENTIFIER, SIGNATURE, LeakReport
from services.key_issuer.handlers.status import StatusRequest
from shared.documents import Document


class IntrospectionDocument(BaseModel):
    """RFC 7662 §2.2; exactly ``{"active": false}`` for anything that is not a live key."""

    active: bool
    scope: str | None = None
    client_id: str | None = None
    username: str | None = None
    sub: str | None = None
    token_type: Literal["Bearer"] | None = None
    iat: int | None = None
    exp: int | None = None
    key_id: str | None = None
    external_user: str | None = None
    external_issuer: str | None = None


class StatusBody(Document):
    """Whose key was presented, if one was."""

    server_time: int
    start_time: int
    version: str
    whoami: int | None
    external_user: str | None
    permissions: list[str]
    echo: str | None = None


class StatusDocument(BaseModel):
    """The shape that integrators of the seed system read."""

    success: bool
    description: str
    body: StatusBody | None = None


class PersonBody(BaseModel):
    """The person whose key was presented."""

    id: int
    username: str


class PersonDocument(BaseModel):
    """The shape that integrators of the seed system read; a refusal has no ``body``."""

    success: bool
    description: str
    body: PersonBody | None = None


_PERMISSION: Final = Parameter(
    "permission",
    "query",
    "Needed for what the key is about to do; may be repeated.",
    schema={"type": "array", "items": {"type": "string"}},
)
_ECHO: Final = Parameter("echo", "query", "Said back.")
_PLACE: Final = Parameter(
    "Last-Event-ID",
    "header",
    "The id of the last event that was heard, at whatever process: the stream goes on after it.",
)
_EVENTS: Final = """Events `invalidate` (`{"keyIDs": […]}`), `reset` and `heartbeat` (`{}`), each with an id; without an end."""


class LeakMatch(BaseModel):
    """An entry of a report of GitHub's secret scanning partner programme; all of it is taken for what it is."""

    token: str
    type: str
    url: str | None = None
    source: str | None = None


class LeakLabel(BaseModel):
    """Whether what was reported was a key of this site: its SHA-256 in hex, and the type that the report gave it."""

    token_hash: str
    token_type: str
    label: Literal["true_positive", "false_positive"]


_REFUSALS: Final = problems(400, 405, 408, 413, 415, 503)
_SIGNED: Final = (
    Parameter(IDENTIFIER, "header", "Which of the partner's keys has signed; only with the next."),
    Parameter(SIGNATURE, "header", "ECDSA of P-256 and SHA-256 over the body, DER in base64."),
)
_CHECK: Final = {
    200: Answer(
        "The key is live and holds the permissions.",
        headers=(
            "X-Latchkey-User",
            "X-Latchkey-Username",
            "X-Latchkey-External-User",
            "X-Latchkey-External-Issuer",
            "X-Latchkey-Client",
            "X-Latchkey-Key",
            "X-Latchkey-Permissions",
        ),
    ),
    **problems(400, 401, 403, 405, 503),
}
_STATUS: Final = {
    200: Answer("Without a key, or with a live one.", StatusDocument),
    401: Answer("The key is not live.", StatusDocument, headers=("WWW-Authenticate",)),
    **_REFUSALS,
}

SECTIONS: Final[dict[str, Section]] = {
    "Checking keys": {
        "GET /api/v1/verify": Operation("Check a key", _CHECK, parameters=(_PERMISSION,), security=("key",)),
        "POST /api/v1/oauth/introspect": Operation(
            "What a key is",
            {
                200: Answer("What is known of the token.", IntrospectionDocument),
                **oauth_errors(400, 401, 403, 405, 408, 413, 415, 429, 503),
            },
            {FORM: form("token", "token_type_hint client_id client_secret")},
            security=("key", "client", ""),
        ),
        "GET /api/v1/revocations": Operation(
            "Hear which keys to forget",
            {
                200: Answer(_EVENTS, {"type": "string"}, "text/event-stream"),
                **problems(401, 403, 405, 429, 503),
            },
            parameters=(_PLACE,),
            security=("key",),
        ),
        "GET /api/v1/status": Operation(
            "Whether the server runs, and whose key this is",
            _STATUS,
            parameters=(_ECHO,),
            security=("key", ""),
        ),
        "POST /api/v1/status": Operation(
            "The same",
            _STATUS,
            {JSON: StatusRequest},
            body_required=False,
            parameters=(_ECHO,),
            security=("key", ""),
        ),
        "GET /api/v1/users/me": Operation(
            "Whose key this is",
            {
                200: Answer("With a live key.", PersonDocument),
                401: Answer("No live key was presented.", PersonDocument, headers=("WWW-Authenticate",)),
                **problems(405, 503),
            },
            security=("key",),
        ),
        "POST /api/v1/keys/report-leak": Operation(
            "Report a key that you found, or, signed by the partner whose keys the operator has named, a list",
            {
                200: Answer("A signed list: every key in it is dead now.", list[LeakLabel]),
                202: Answer("If it was a key, it is dead now."),
                **_REFUSALS,
                **problems(403),
            },
            {JSON: LeakReport | list[LeakMatch]},
            parameters=_SIGNED,
        ),
    }
}
