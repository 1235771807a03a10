"""The description of the REST interface (OpenAPI 3.1), put together from operations and their pydantic models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
PROBLEM: Final = "application/problem+json"

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One status of an operation: what it means, and the shape of its body (``None``: empty)."""

    meaning: str
    body: type[BaseModel] | Schema | None = None
    media_type: str = JSON
    headers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query, path or header parameter; text unless ``schema`` says otherwise."""

    name: str
    place: str
    meaning: str
    required: bool = False
    schema: Schema = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    summary: str
    tag: str
    answers: Mapping[int, Answer]
    request: Mapping[str, type[BaseModel] | Schema] = field(default_factory=dict)
    """Media type → shape."""
    body_required: bool = True
    parameters: Sequence[Parameter] = ()
    security: Sequence[str] = ()
    """Any one of these schemes is enough; empty: none is needed."""


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


def document(
    operations: Iterable[Operation],
    *,
    title: str,
    version: str,
    description: str,
    also: Iterable[type[BaseModel]] = (),
) -> Schema:
    """The OpenAPI 3.1 document of the operations, in their order; ``also`` are models that are only referred to."""
    listed = tuple(operations)
    schemas, definitions = _components(listed, also)
    paths: dict[str, dict[str, Any]] = {}
    for operation in listed:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description, "license": {"name": "MIT"}},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": definitions, "securitySchemes": dict(SECURITY_SCHEMES)},
    }


def _components(
    operations: Iterable[Operation], also: Iterable[type[BaseModel]]
) -> tuple[dict[type[BaseModel], Schema], dict[str, Schema]]:
    """Each model → its reference, and the definitions that the references point to."""
    models: dict[type[BaseModel], None] = dict.fromkeys(also)
    for operation in operations:
        shapes = [*operation.request.values(), *(answer.body for answer in operation.answers.values())]
        models |= {shape: None for shape in shapes if isinstance(shape, type)}
    references, defined = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    return {model: references[model, "validation"] for model in models}, defined.get("$defs", {})


def _operation(operation: Operation, schemas: Mapping[type[BaseModel], Schema]) -> Schema:
    told: Schema = {
        "operationId": f"{operation.method.lower()} {operation.path}".translate(_NAME).strip("_"),
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": {str(status): _answer(answer, schemas) for status, answer in operation.answers.items()},
    }
    if operation.parameters:
        told["parameters"] = [_parameter(parameter) for parameter in operation.parameters]
    if operation.request:
        content = {media: {"schema": _schema(shape, schemas)} for media, shape in operation.request.items()}
        told["requestBody"] = {"required": operation.body_required, "content": content}
    if operation.security:
        told["security"] = [{name: []} if name else {} for name in operation.security]
    return told


_NAME: Final = str.maketrans({" ": "_", "/": "_", "{": "", "}": "", "-": "_", ".": "_"})


def _answer(answer: Answer, schemas: Mapping[type[BaseModel], Schema]) -> Schema:
    told: Schema = {"description": answer.meaning}
    if answer.headers:
        told["headers"] = {name: {"schema": {"type": "string"}} for name in answer.headers}
    if answer.body is not None:
        told["content"] = {answer.media_type: {"schema": _schema(answer.body, schemas)}}
    return told


def _parameter(parameter: Parameter) -> Schema:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.meaning,
        "required": parameter.required or parameter.place == "path",
        "schema": parameter.schema,
    }


def _schema(shape: type[BaseModel] | Schema, schemas: Mapping[type[BaseModel], Schema]) -> Schema:
    return schemas[shape] if isinstance(shape, type) else shape


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


def problems(*statuses: int) -> dict[int, Answer]:
    """Refusals told as RFC 9457 problems."""
    return {
        status: Answer(_phrase(status), ProblemDocument, PROBLEM, _headers(status)) for status in statuses
    }


def oauth_errors(*statuses: int) -> dict[int, Answer]:
    """Refusals told as RFC 6749 errors."""
    return {
        status: Answer(_phrase(status), OAuthErrorDocument, JSON, _headers(status)) for status in statuses
    }


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase


def _headers(status: int) -> tuple[str, ...]:
    return {401: ("WWW-Authenticate",), 405: ("Allow",), 429: ("Retry-After",), 503: ("Retry-After",)}.get(
        status, ()
    )
