"""The description of the REST interface (OpenAPI 3.1), put together from operations and their pydantic models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
PROBLEM: Final = "application/problem+json"
SESSION: Final = ("session",)

Schema = dict[str, Any]
Shape = Any
"""Any type that pydantic knows, like a model or a list of one, or a schema as it is."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One status of an operation: what it means, and the shape of its body (``None``: empty)."""

    meaning: str
    body: Shape = None
    media_type: str = JSON
    headers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query or header parameter; text unless ``schema`` says otherwise."""

    name: str
    place: str
    meaning: str
    schema: Schema = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of one path does. Parameters of the path and ``Origin`` follow from path and ``security``."""

    summary: str
    answers: Mapping[int, Answer]
    takes: Mapping[str, Shape] = field(default_factory=dict)
    """Media type → shape of the request's body."""
    body_required: bool = True
    parameters: Sequence[Parameter] = ()
    security: Sequence[str] = ()
    """Any one of these schemes is enough, an empty one is none; without any, none is needed."""


Section = Mapping[str, Operation]
"""``METHOD /path`` → what it does."""

_IN_PATH: Final = {
    "clientID": "The client's id.",
    "keyID": "The key's public id.",
    "challenge": "The `login_challenge` that the browser brought.",
    "externalID": "The id that the site gives the person.",
    "sessionID": "The session's public id.",
}
_ORIGIN: Final = Parameter("Origin", "header", "The public origin; a change made with the cookie needs it.")

SECURITY_SCHEMES: Final[Mapping[str, Schema]] = {
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "latchkey_session",
        "description": "The session cookie (`__Host-latchkey_session` on https). A change also needs an `Origin` header.",
    },
    "client": {"type": "http", "scheme": "basic", "description": "Client id and secret (RFC 6749 §2.3.1)."},
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key, or an operator's service key (RFC 6750).",
    },
}


def form(required: str, optional: str) -> Schema:
    """A form whose fields are texts: the names of those that must be there, and of those that may."""
    names = [*required.split(), *optional.split()]
    fields = {name: {"type": "string"} for name in names}
    return {"type": "object", "properties": fields, "required": required.split()}


def document(sections: Mapping[str, Section], *, title: str, version: str, description: str) -> Schema:
    """The OpenAPI 3.1 document of the operations under the headings of their sections, in their order."""
    shapes = [shape for section in sections.values() for each in section.values() for shape in _shapes(each)]
    types = {id(shape): TypeAdapter(shape) for shape in shapes if not isinstance(shape, dict)}
    found, defined = TypeAdapter.json_schemas(
        [(name, "validation", adapter) for name, adapter in types.items()],
        ref_template="#/components/schemas/{model}",
    )
    schemas = {id(shape): found.get((id(shape), "validation"), shape) for shape in shapes}
    paths: dict[str, Schema] = {}
    for tag, section in sections.items():
        for route, operation in section.items():
            method, path = route.split()
            paths.setdefault(path, {})[method.lower()] = _operation(tag, method, path, operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description, "license": {"name": "MIT"}},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": defined.get("$defs", {}), "securitySchemes": dict(SECURITY_SCHEMES)},
    }


def _shapes(operation: Operation) -> list[Shape]:
    bodies = (answer.body for answer in operation.answers.values())
    return [*operation.takes.values(), *(body for body in bodies if body is not None)]


def _operation(
    tag: str, method: str, path: str, operation: Operation, schemas: Mapping[int, Schema]
) -> Schema:
    told: Schema = {
        "operationId": f"{method.lower()} {path}".translate(_NAME).strip("_"),
        "summary": operation.summary,
        "tags": [tag],
        "responses": {str(status): _answer(answer, schemas) for status, answer in operation.answers.items()},
    }
    parameters = [
        Parameter(name, "path", meaning) for name, meaning in _IN_PATH.items() if f"{{{name}}}" in path
    ]
    if method != "GET" and operation.security == SESSION:
        parameters.append(_ORIGIN)
    parameters += operation.parameters
    if parameters:
        told["parameters"] = [_parameter(parameter) for parameter in parameters]
    if operation.takes:
        content = {media: {"schema": schemas[id(shape)]} for media, shape in operation.takes.items()}
        told["requestBody"] = {"required": operation.body_required, "content": content}
    if operation.security:
        told["security"] = [{name: []} if name else {} for name in operation.security]
    return told


_NAME: Final = str.maketrans({" ": "_", "/": "_", "{": "", "}": "", "-": "_", ".": "_"})


def _answer(answer: Answer, schemas: Mapping[int, Schema]) -> Schema:
    told: Schema = {"description": answer.meaning}
    if answer.headers:
        told["headers"] = {name: {"schema": {"type": "string"}} for name in answer.headers}
    if answer.body is not None:
        told["content"] = {answer.media_type: {"schema": schemas[id(answer.body)]}}
    return told


def _parameter(parameter: Parameter) -> Schema:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.meaning,
        "required": parameter.place == "path",
        "schema": parameter.schema,
    }


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str
    detail: str


class ProblemDocument(BaseModel):
    """RFC 9457: why a request was refused."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldProblem]


class OAuthErrorDocument(BaseModel):
    """RFC 6749 §5.2: why a request was refused."""

    error: str
    error_description: str


_HEADERS: Final = {401: ("WWW-Authenticate",), 405: ("Allow",), 429: ("Retry-After",), 503: ("Retry-After",)}


def problems(*statuses: int) -> dict[int, Answer]:
    """Refusals told as RFC 9457 problems."""
    return {status: _refusal(status, ProblemDocument, PROBLEM) for status in statuses}


def oauth_errors(*statuses: int) -> dict[int, Answer]:
    """Refusals told as RFC 6749 errors."""
    return {status: _refusal(status, OAuthErrorDocument, JSON) for status in statuses}


def _refusal(status: int, body: type[BaseModel], media_type: str) -> Answer:
    return Answer(HTTPStatus(status).phrase, body, media_type, _HEADERS.get(status, ()))
