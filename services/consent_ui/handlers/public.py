"""What is the same for everybody: the REST interface as a page, without scripts, and the static files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from aiohttp import web

import shared
from services.consent_ui.resources import RESOURCES

_DOCUMENT: Final = Path(shared.__file__).with_name("openapi.json")
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
    """The OpenAPI document that auth_api serves, and what a reader wants of it in other words."""

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


async def api_page(request: web.Request) -> web.Response:
    """``GET /developer/api``: the interface, from our own origin."""
    return request.app[RESOURCES].pages.respond("api.html", _view())


async def static(request: web.Request) -> web.Response:
    """``GET /static/{name}``: one of our files, under a name that holds its hash: a browser asks for each once."""
    assets, name = request.app[RESOURCES].assets.values(), request.match_info["name"]
    asset = next((asset for asset in assets if asset.name == name), None)
    if asset is None:
        raise web.HTTPNotFound
    return web.Response(
        body=asset.content,
        content_type=asset.media_type,
        charset="utf-8",
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )


@cache
def _view() -> ApiView:
    return ApiView(orjson.loads(_DOCUMENT.read_bytes()))


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
