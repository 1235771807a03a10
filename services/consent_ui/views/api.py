"""What the page about the REST interface shows: the description that auth_api serves, sorted for reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldView:
    """One field of a body, or one parameter."""

    name: str
    shape: str
    required: bool
    meaning: str


@dataclass(frozen=True, slots=True)
class AnswerView:
    """One status and what it means."""

    status: str
    meaning: str
    fields: Sequence[FieldView]


@dataclass(frozen=True, slots=True)
class OperationView:
    """One method of one path."""

    anchor: str
    method: str
    path: str
    summary: str
    credentials: str
    media_types: str
    parameters: Sequence[FieldView]
    body: Sequence[FieldView]
    answers: Sequence[AnswerView]


@dataclass(frozen=True, slots=True)
class SectionView:
    """The operations about one thing."""

    title: str
    anchor: str
    operations: Sequence[OperationView]


@dataclass(frozen=True, slots=True)
class ApiView:
    """The whole page."""

    version: str
    sections: Sequence[SectionView]


_CREDENTIALS = {
    "session": "session cookie",
    "client": "client id and secret",
    "key": "bearer key",
    "": "none",
}


def api_view(document: Mapping[str, Any]) -> ApiView:
    """Sorts a document by tag, in its own order."""
    schemas = document["components"]["schemas"]
    sections: dict[str, list[OperationView]] = {}
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            sections.setdefault(told["tags"][0], []).append(_operation(method, path, told, schemas))
    listed = tuple(
        SectionView(title, title.lower().replace(" ", "-").replace(".", ""), operations)
        for title, operations in sections.items()
    )
    return ApiView(document["info"]["version"], listed)


def _operation(method: str, path: str, told: Mapping[str, Any], schemas: Mapping[str, Any]) -> OperationView:
    content = told.get("requestBody", {}).get("content", {})
    bodies = [body["schema"] for body in content.values()]
    return OperationView(
        anchor=told["operationId"],
        method=method.upper(),
        path=path,
        summary=told["summary"],
        credentials=" or ".join(
            _CREDENTIALS[name] for scheme in told.get("security", [{}]) for name in (scheme or {"": []})
        ),
        media_types=" or ".join(content),
        parameters=tuple(
            FieldView(each["name"], each["in"], each["required"], each["description"])
            for each in told.get("parameters", ())
        ),
        body=_fields(bodies[0], schemas) if bodies else (),
        answers=tuple(
            AnswerView(status, answer["description"], _answer_fields(status, answer, schemas))
            for status, answer in sorted(told["responses"].items())
        ),
    )


def _answer_fields(status: str, answer: Mapping[str, Any], schemas: Mapping[str, Any]) -> Sequence[FieldView]:
    """Of successes only: the refusals all look alike."""
    content = list(answer.get("content", {}).values())
    return _fields(content[0]["schema"], schemas) if content and status.startswith("2") else ()


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Sequence[FieldView]:
    found: list[FieldView] = []
    for shape in _resolved(schema, schemas):
        required = shape.get("required", ())
        known = {field.name for field in found}
        found += [
            FieldView(name, _shape(field), name in required, field.get("description", ""))
            for name, field in shape.get("properties", {}).items()
            if name not in known
        ]
    return tuple(found)


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    if "$ref" in schema:
        return (schemas[schema["$ref"].rpartition("/")[2]],)
    if schema.get("type") == "array":
        return _resolved(schema["items"], schemas)
    return [one for option in schema.get("anyOf", ()) for one in _resolved(option, schemas)] or (schema,)


def _shape(field: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_shape(option) for option in field["anyOf"])
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "enum" in field:
        return " or ".join(f"“{word}”" for word in field["enum"])
    if field.get("type") == "array":
        return f"list of {_shape(field['items'])}"
    names = {"string": "text", "integer": "number", "boolean": "true or false", "null": "null"}
    return names.get(str(field.get("type")), "object")
