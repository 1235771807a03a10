"""Many small things of a stranger's: members, pairs, names, lines, hops."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from services import auth_api
from services.auth_api.clients.validation import check_client_fields, permission_errors
from services.auth_api.oauth import authorization_request, client_registration, scope
from services.auth_api.oauth.client_authentication import read_client_credentials
from services.auth_api.oauth.parameters import Parameters, collect, collect_json
from services.auth_api.oauth.token import KNOWN
from services.key_issuer.handlers import introspect, report_leak, verify
from shared.documents import Document
from shared.web import body, cookies, edge
from shared.web.failures import Problem
from tests.unit.linear import leaks
from tests.unit.linear.cases import CATALOGUE, FIELDS, all_of, forwarded, page_form, sign_in
from tests.unit.linear.requests import SETTINGS, make_request

_FORM: Final = body.FORM


def _models() -> Sequence[type[BaseModel]]:
    """The bodies of requests that are read as models: all that modules with handlers define, and registrations."""
    services = Path(auth_api.__file__).parent.parent
    modules = [
        importlib.import_module(f"services.{path.parts[-3]}.handlers.{path.stem}")
        for path in sorted(services.glob("*/handlers/*.py"))
        if path.stem not in ("__init__", "documents")  # those are answers
    ]
    return [
        each
        for module in (*modules, client_registration)
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, BaseModel)
        and each.__module__ == module.__name__
        and each.model_fields
        and not issubclass(each, Document)  # those are answers
    ]


MODELS: Final = _models()


def _as_model(model: type[BaseModel], value: object) -> None:
    """The value in each of the fields, and in one that there is not."""
    for name, field in model.model_fields.items():
        with suppress(Problem):
            body.validated(model, {field.alias or name: value})
    with suppress(Problem):
        body.validated(model, {"no such field": value})


def _names(count: int) -> list[str]:
    return [f"permission_{number}" for number in range(count)]


def _flat(value: object) -> Callable[[int], Mapping[str, object]]:
    return lambda size: {"a": [value] * size}


@dataclass(frozen=True, slots=True)
class Heap:
    """Many small things of a stranger's."""

    name: str
    make: Callable[[int], Any]
    read: Callable[[Any], object]
    most: int
    """How many the server admits."""


def _json(members: str, most: int) -> Heap:
    """An object with so many of these members, numbered where ``{}`` stands."""
    return Heap(
        f"JSON of {members}",
        lambda count: (
            "{" + ",".join(members.replace("{}", str(number)) for number in range(count)) + "}"
        ).encode(),
        body.parse_json_object,
        most,
    )


HEAPS: Final[Sequence[Heap]] = (
    _json('"{}":0', 8_000),
    _json('"a":0', 10_000),
    _json('"{}":{}', 199),
    Heap("JSON of nested lists", lambda count: b'{"a":' + b"[" * count + b"]" * count + b"}", body.parse_json_object, 30_000),
    Heap("JSON of nested objects", lambda count: b'{"a":' * count + b"0" + b"}" * count, body.parse_json_object, 10_000),
    Heap("JSON of long names in one another", lambda count: b'{"a":' + (b'{"' + b"n" * (count // 18) + b'":') * 18 + b"0" + b"}" * 19, body.parse_json_object, 60_000),
    Heap("JSON of a list", lambda count: b'{"a":[' + b"0," * count + b"0]}", body.parse_json_object, 30_000),
    Heap("JSON of a list of objects", lambda count: b'{"a":[' + b'{"b":0},' * count + b"0]}", body.parse_json_object, 7_000),
    Heap("JSON of a long number", lambda count: b'{"a":' + b"9" * count + b"}", body.parse_json_object, 60_000),
    Heap("JSON of numbers", lambda count: b'{"a":[' + (b"9" * 4_000 + b",") * (count // 4_001) + b"0]}", body.parse_json_object, 60_000),
    Heap("JSON of a long fraction", lambda count: b'{"a":0.' + b"9" * count + b"}", body.parse_json_object, 60_000),
    *(Heap(f"text in {model.__name__}", lambda count: "a" * count, lambda value, model=model: _as_model(model, value), 20_000) for model in MODELS),  # type: ignore[misc]
    *(Heap(f"texts in {model.__name__}", _names, lambda value, model=model: _as_model(model, value), 3_000) for model in MODELS),  # type: ignore[misc]
    *(Heap(f"numbers in {model.__name__}", lambda count: [0] * count, lambda value, model=model: _as_model(model, value), 20_000) for model in MODELS),  # type: ignore[misc]
    *(Heap(f"unknown fields in {model.__name__}", lambda count: dict.fromkeys(_names(count)), lambda value, model=model: body.validated(model, value), body.MOST_PAIRS) for model in MODELS),  # type: ignore[misc]
    Heap("pairs of a form", lambda count: b"&".join(b"a%d=%d" % (n, n) for n in range(count)), lambda raw: body.parse_pairs(raw, "body"), 8_000),
    Heap("known parameters, repeated", lambda count: [("scope", str(n)) for n in range(count)], lambda pairs: all_of(lambda _: collect(pairs, frozenset({"scope", "state"})).refuse_repeated())(""), body.MOST_PAIRS),
    Heap("parameters of every name", lambda count: [(f"a{n}", "") for n in range(count)], lambda pairs: authorization_request.sort_parameters(pairs, authorization_request.AUTHORIZE), body.MOST_PAIRS),
    Heap("fields of a form for signing in", lambda count: b"&".join([b"username=a"] * count), lambda raw: all_of(lambda _: sign_in(raw.decode(), _FORM))(""), 6_000),
    Heap("members of an OAuth body", lambda count: dict.fromkeys(_names(count), "a"), lambda document: collect_json(document, KNOWN), body.MOST_PAIRS),
    Heap("permissions of a key", _names, lambda names: list(permission_errors("permissions", names, CATALOGUE)), 4_000),
    Heap("permissions of a key, all known", _names, lambda names: list(permission_errors("permissions", names, frozenset(names))), 4_000),
    Heap("permissions of a scope", _names, lambda names: all_of(lambda _: scope.narrow(names, CATALOGUE))(""), 4_000),
    Heap("permissions of a client", lambda count: FIELDS.model_copy(update={"requested_permissions": tuple(_names(count))}), lambda fields: check_client_fields(fields, CATALOGUE, private_targets=False), 4_000),
    Heap("redirect URIs of a client", lambda count: FIELDS.model_copy(update={"redirect_uris": tuple(f"https://a.example/{n}" for n in range(count))}), lambda fields: check_client_fields(fields, CATALOGUE, private_targets=False), 3_000),
    Heap("redirect URIs of a registration", lambda count: {"redirect_uris": [f"https://a.example/{n}" for n in range(count)]}, lambda document: all_of(lambda _: client_registration.read_registration(document, CATALOGUE))(""), 3_000),
    Heap("wishes of a registration", lambda count: {"redirect_uris": ["https://a.example/"], "grant_types": _names(count), "response_types": _names(count)}, lambda document: all_of(lambda _: client_registration.read_registration(document, CATALOGUE))(""), 2_000),
    Heap("types of a registration", _flat(0), lambda document: all_of(lambda _: client_registration.read_registration({"grant_types": document["a"]}, CATALOGUE))(""), 30_000),
    Heap("lines of a page's form", lambda count: "a\n" * count, page_form, 30_000),
    Heap("permissions to check", lambda count: "&".join(f"permission=a{n}" for n in range(count)), lambda query: verify.lacks_permission(verify.wanted_permissions(query)), 900),
    Heap("parameters of an introspection", lambda count: [(f"a{n}", "") for n in range(count)], introspect._once_each, body.MOST_PAIRS),
    Heap("entries of a report of leaked keys", leaks.many, report_leak.read_matches, report_leak.MOST_MATCHES),
    Heap("hops of a request", lambda count: make_request(X_Forwarded_For=["a, b"] * count), forwarded, 120),
    Heap("lines of cookies", lambda count: make_request(Cookie="; ".join(f"a{n}=b" for n in range(count))), lambda request: cookies.read_session_cookie(request, SETTINGS), 2_000),
    Heap("credentials, repeated", lambda count: make_request(Authorization=["Basic a"] * count), lambda request: all_of(lambda _: read_client_credentials(edge.authorization_of(request), Parameters({})))(""), 120),
)  # fmt: skip
"""Every list."""
