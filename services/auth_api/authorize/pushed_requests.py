"""Pushed authorization requests, kept until a browser brings their reference (RFC 9126)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from services.auth_api.oauth.authorization_request import AUTHORIZE, Question
from services.auth_api.oauth.parameters import Parameters
from services.auth_api.oauth.pushed_request import (
    LIFETIME_SECONDS,
    pushed_response,
    reference_of,
    unknown_reference,
)
from services.auth_api.resources import Resources
from shared.bus import Script
from shared.secret_tokens import digest_of, random_base62

OPENED_MS: Final = 15 * 60_000
"""Once a browser has brought it, a request lives long enough for signing in, and for a reload (RFC 9126 §4)."""
_ID_LENGTH: Final = 43

# KEYS: pushed request. ARGV: how long it lives once a browser has brought it.
_OPEN: Final = Script(
    "pushed_open",
    """
    local request = redis.call('HGET', KEYS[1], 'request')
    if request and redis.call('HSETNX', KEYS[1], 'opened', 1) == 1 then
        redis.call('PEXPIRE', KEYS[1], ARGV[1])
    end
    return request
    """,
)
# KEYS: pushed request. ARGV: request, lifetime.
_STORE: Final = Script(
    "pushed_store",
    """
    redis.call('HSET', KEYS[1], 'request', ARGV[1])
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    return 1
    """,
)


async def push(resources: Resources, client_id: str, question: Question) -> dict[str, Any]:
    """Keeps a checked request for 90 s: the response with its reference.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    reference = random_base62(_ID_LENGTH)
    key = _key(reference)
    values = {name: value for name, value in question.parameters.values.items() if name != "client_secret"}
    await resources.bus.redis.run_script(
        _STORE,
        keys=[key],
        args=[orjson.dumps({**values, "client_id": client_id}), LIFETIME_SECONDS * 1000],
    )
    return pushed_response(reference)


async def find_pushed(resources: Resources, question: Question, client_id: str) -> tuple[Question, str]:
    """The request that ``question`` refers to, and where it is kept. Its other parameters count for nothing.

    Raises:
        OAuthError: ``invalid_request_uri``.
        StoreUnavailable: Redis does not answer.
    """
    key = _key(reference_of(question.parameters.require("request_uri")))
    raw = await resources.bus.redis.run_script(_OPEN, keys=[key], args=[OPENED_MS])
    if raw is None:
        raise unknown_reference()
    values: Mapping[str, str] = orjson.loads(raw)
    if values["client_id"] != client_id:
        raise unknown_reference()
    return Question(Parameters(values), AUTHORIZE), key


async def use_up(resources: Resources, key: str | None) -> None:
    """Forgets a pushed request that the person has decided: it is good for one authorization.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    if key is not None:
        await resources.bus.redis.execute("DEL", key)


def _key(reference: str) -> str:
    return f"lk:pushed:{digest_of(reference)}"
