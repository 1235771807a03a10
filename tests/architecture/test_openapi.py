"""The description of the REST interface: committed as the models give it, and naming exactly the routes there are."""

from __future__ import annotations

from aiohttp import web

from deploy.openapi import TARGET, describe, rendered
from services.auth_api.routes import add_routes as add_auth_api
from services.key_issuer.routes import CHECK_METHODS, add_routes
from services.key_issuer.routes import VERIFY as CHECK

_UNTOLD = {"HEAD", "OPTIONS"}
_OF_BROWSERS = "/login/"
"""The way to a login elsewhere and back, for browsers and the provider: no part of the REST interface."""


def test_the_committed_document_is_the_one_of_the_models() -> None:
    """After a change of a model: ``python -m deploy.openapi``."""
    assert TARGET.read_text(encoding="utf-8") == rendered()


def test_the_document_names_every_public_route_and_no_other() -> None:
    """A route without a description, or a description without a route, is a defect."""
    application = web.Application()
    add_auth_api(application)
    add_routes(application)
    routed = {
        (route.method, route.resource.canonical)
        for route in application.router.routes()
        if route.resource is not None
        and route.method not in _UNTOLD
        and not route.resource.canonical.startswith(_OF_BROWSERS)
    } - {(method, CHECK) for method in CHECK_METHODS if method != "GET"}
    told = {(method.upper(), path) for path, methods in describe()["paths"].items() for method in methods}
    assert told == routed


def test_every_reference_leads_somewhere() -> None:
    """No answer names a model that is not there."""
    document = describe()
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(_references(document)) <= known


def _references(value: object) -> list[str]:
    if isinstance(value, dict):
        here = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return here + [found for item in value.values() for found in _references(item)]
    if isinstance(value, list):
        return [found for item in value for found in _references(item)]
    return []
