"""The description of the REST interface that auth_api serves, as the page about it goes through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

_CREDENTIALS: Final = {
    "session": "session cookie",
    "client": "client id and secret",
    "key": "bearer key",
    "": "none",
}
_SHAPES: Final = {"string": "text", "integer": "number", "boolean": "true or false", "null": "null"}


class Field(NamedTuple):
    """One field of a body, or one parameter."""

    name: str
    shape: str
    required: bool
    meaning: str


@dataclass(frozen=True, slots=True)
class ApiView:
    """The OpenAPI document, and what a reader wants of it in other words."""

    document: Mapping[str, Any]

    def sections(self) -> Mapping[str, Sequence[tuple[str, str, Mapping[str, Any]]]]:
        """Tag → method, path and description of each of its operations, in the document's order."""
        found: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {}
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                found.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
        return found

    def credentials(self, operation: Mapping[str, Any]) -> str:
        """What a caller of the operation proves themselves with."""
        schemes = operation.get("security", [{}])
        return " or ".join(_CREDENTIALS[name] for scheme in schemes for name in (scheme or {"": []}))

    def parameters(self, operation: Mapping[str, Any]) -> Sequence[Field]:
        """What stands in the path, the query or a header."""
        given = operation.get("parameters", ())
        return [Field(each["name"], each["in"], each["required"], each["description"]) for each in given]

    def fields(self, message: Mapping[str, Any]) -> Sequence[Field]:
        """The fields of a request body or an answer; of several shapes all, each field once."""
        found: dict[str, Field] = {}
        bodies = list(message.get("content", {}).values())
        for shape in self._resolved(bodies[0]["schema"]) if bodies else ():
            required = shape.get("required", ())
            for name, field in shape.get("properties", {}).items():
                said = Field(name, _shape(field), name in required, field.get("description", ""))
                found.setdefault(name, said)
        return tuple(found.values())

    def _resolved(self, schema: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        if "$ref" in schema:
            return (self.document["components"]["schemas"][_name(schema)],)
        if schema.get("type") == "array":
            return self._resolved(schema["items"])
        return [one for option in schema.get("anyOf", ()) for one in self._resolved(option)] or (schema,)


def _name(schema: Mapping[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _shape(field: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_shape(option) for option in field["anyOf"])
    if "$ref" in field:
        return _name(field)
    if "enum" in field:
        return " or ".join(f"“{word}”" for word in field["enum"])
    if field.get("type") == "array":
        return f"list of {_shape(field['items'])}"
    return _SHAPES.get(str(field.get("type")), "object")
