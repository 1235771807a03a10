"""``/api/v1/oauth/introspect`` (RFC 7662): a key's facts, to a resource server or to the client that holds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson
from aiohttp import hdrs, web

from services.key_issuer.handlers.verify import NOT_LIVE_CHALLENGE, bearer_token, lacks_permission
from services.key_issuer.operators import INTROSPECT
from services.key_issuer.resources import RESOURCES, Resources
from services.key_issuer.verification import LiveKey, LiveServiceKey
from shared.api_key import SERVICE_KEY, basic_credentials, basic_name_and_key, parse_key
from shared.web.body import read_form
from shared.web.edge import authorization_of, peer_of, scheme_of
from shared.web.failures import Problem

_KNOWN: Final = frozenset({"token", "token_type_hint", "client_id", "client_secret"})
_INACTIVE: Final = b'{"active":false}'
_CHALLENGE: Final = 'Basic realm="latchkey", charset="UTF-8"'
_LONGEST_CLIENT_ID: Final = 100
_HEADERS: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


async def introspect(request: web.Request) -> web.Response:
    """200 with the facts or ``{"active": false}``; errors as RFC 7662 §2.3 and RFC 6749 §5.2 say.

    Authenticates the caller, then looks the key up as a check does.
    """
    resources = request.app[RESOURCES]
    form = _once_each(await read_form(request))
    client_id = await _authenticate(resources, request, form)
    token = form.get("token")
    if token is None:
        raise Problem(400, "token is missing.", code="invalid_request")
    key = await resources.verifier.live_key(token)
    if key is None or (client_id is not None and key.client_id != client_id):
        return _answer(_INACTIVE)
    if client_id is None:
        resources.last_use.note(key, resources.clock.now(), frozenset())
    return _answer(_facts(key))


async def _authenticate(resources: Resources, request: web.Request, form: dict[str, str]) -> str | None:
    """The client that asks about its own keys; ``None`` for a resource server, which may ask about every key."""
    headers = authorization_of(request)
    if len(headers) > 1:
        raise Problem(
            400, "The Authorization header must not be sent more than once.", code="invalid_request"
        )
    if headers and scheme_of(headers[0]) == "bearer":
        if "client_secret" in form:
            raise _two_methods()
        await _authenticate_service(resources, bearer_token(headers[0]))
        return None
    if headers and (service := _service_login(headers[0])) is not None:
        await _authenticate_by_name(resources, *service, form)
        return None
    client_id, secret = _credentials(headers, form)
    answer = await resources.clients.authenticate(client_id, secret, peer_of(request, resources.settings))
    if answer.retry_after is not None:
        raise Problem(
            429,
            f"Too many attempts; try again in {answer.retry_after} seconds.",
            headers={hdrs.RETRY_AFTER: str(answer.retry_after)},
        )
    if not answer.authenticated:
        raise _unknown_client()
    return client_id


async def _authenticate_service(resources: Resources, token: str | None) -> None:
    key = await resources.verifier.live_service_key(token) if token is not None else None
    if key is None:
        raise Problem(
            401,
            "The service key is missing or not live.",
            code="invalid_token",
            headers={hdrs.WWW_AUTHENTICATE: NOT_LIVE_CHALLENGE},
        )
    _admit(resources, key)


def _service_login(header: str) -> tuple[frozenset[str], str] | None:
    """The readings of the name, and the service key, that HTTP Basic holds; ``None`` where no such key is in it."""
    try:
        names, token = basic_name_and_key(header)
    except ValueError:
        return None
    parsed = parse_key(token)
    return (names, token) if parsed is not None and parsed.kind == SERVICE_KEY else None


async def _authenticate_by_name(
    resources: Resources, names: frozenset[str], token: str, form: dict[str, str]
) -> None:
    """For libraries that know only a client's id and secret: the name of a service key, and the key."""
    if "client_secret" in form:
        raise _two_methods()
    if form.get("client_id") not in (None, *names):
        raise _other_client()
    key = await resources.verifier.live_service_key(token)
    if key is None or key.name not in names:
        raise _unknown_client()
    _admit(resources, key)


def _admit(resources: Resources, key: LiveServiceKey) -> None:
    if INTROSPECT not in key.permissions:
        raise lacks_permission([INTROSPECT])
    resources.last_use.note_service(key, resources.clock.now())


def _once_each(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The known parameters that carry a value, none of them sent twice (RFC 6749 §3.2)."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in _KNOWN:
            if name in found:
                raise Problem(400, f"{name} must not be sent more than once.", code="invalid_request")
            found[name] = value
    return {name: value for name, value in found.items() if value}


def _credentials(headers: Sequence[str], form: dict[str, str]) -> tuple[str, str]:
    """The client and its secret, by exactly one method (RFC 6749 §2.3)."""
    client_id, secret = form.get("client_id"), form.get("client_secret")
    if headers:
        try:
            basic_id, basic_secret = basic_credentials(headers[0])
        except ValueError as error:
            raise _unknown_client(f" The Authorization header is malformed: {error}.") from None
        if secret is not None:
            raise _two_methods()
        if client_id is not None and client_id != basic_id:
            raise _other_client()
        client_id, secret = basic_id, basic_secret
    if not client_id or not secret or len(client_id) > _LONGEST_CLIENT_ID or not client_id.isprintable():
        raise _unknown_client()
    return client_id, secret


def _two_methods() -> Problem:
    return Problem(400, "Authenticate by one method, not by two.", code="invalid_request")


def _other_client() -> Problem:
    return Problem(400, "client_id differs from that of the Authorization header.", code="invalid_request")


def _unknown_client(detail: str = "") -> Problem:
    return Problem(
        401,
        "Client authentication failed: the client is unknown, or its credentials are wrong or missing."
        + detail,
        code="invalid_client",
        headers={hdrs.WWW_AUTHENTICATE: _CHALLENGE},
    )


def _facts(key: LiveKey) -> bytes:
    if key.facts is None:
        facts: dict[str, object] = {
            "active": True,
            "scope": " ".join(key.permissions),
            "username": key.username,
            "sub": str(key.user_id),
            "token_type": "Bearer",
            "iat": key.created_on // 1000,
            "key_id": key.key_id,
        }
        if key.external_user is not None:
            facts["external_user"] = key.external_user
            facts["external_issuer"] = key.external_issuer
        if key.client_id is not None:
            facts["client_id"] = key.client_id
        if key.expires_on is not None:
            facts["exp"] = key.expires_on // 1000
        key.facts = orjson.dumps(facts)
    return key.facts


def _answer(body: bytes) -> web.Response:
    return web.Response(body=body, headers=_HEADERS, content_type="application/json")
