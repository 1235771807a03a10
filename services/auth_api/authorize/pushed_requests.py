"""Pushed authorization requests, kept until a browser brings their reference (RFC 9126)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from services.auth_api.oauth.authorization_request import AUTHORIZE, AuthorizationParameters
from services.auth_api.oauth.errors import OAuthError, invalid_request
from services.auth_api.oauth.parameters import Parameters
from services.auth_api.resources import Resources
from shared.bus import Script
from shared.contracts.authorization import REQUEST_URI
from shared.contracts.previous_release import in_digests
from shared.secret_tokens import digest_of, random_base62

LIFETIME_SECONDS: Final = 90
OPENED_MS: Final = 15 * 60_000
"""Once a browser has brought it, a request lives long enough for signing in, and for a reload (RFC 9126 §4)."""
LARGEST_BYTES: Final = 4096
"""A request as it is kept: what a stranger can make us keep is small."""
_ID_LENGTH: Final = 43
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)

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


async def push(
    resources: Resources, client_id: str, parameters: AuthorizationParameters, *, peer: str
) -> dict[str, Any]:
    """Keeps a checked request for 90 s: the response with its reference (RFC 9126 §2.2).

    Raises:
        OAuthError: ``invalid_request``: it is larger than ``LARGEST_BYTES``.
        Throttled: this peer or client has pushed too many.
    """
    reference = random_base62(_ID_LENGTH)
    values = {name: value for name, value in parameters.sent.values.items() if name != "client_secret"}
    request = orjson.dumps({**values, "client_id": client_id})
    if len(request) > LARGEST_BYTES:
        longest = max(values, key=lambda name: len(values[name]))
        raise invalid_request(
            f"The pushed request is larger than {LARGEST_BYTES} bytes; {longest} is the longest of its parameters."
        )
    await resources.limiter.take_keeping("pushed", client_id, peer)
    await resources.bus.redis.run_script(
        _STORE,
        keys=[_key(digest_of(reference))],
        args=[request, LIFETIME_SECONDS * 1000],
    )
    return {"request_uri": REQUEST_URI + reference, "expires_in": LIFETIME_SECONDS}


async def find_pushed(
    resources: Resources, parameters: AuthorizationParameters, client_id: str
) -> tuple[AuthorizationParameters, str]:
    """The request that is referred to by the digest of its reference, and where it is kept.

    The other parameters beside the reference count for nothing.

    Raises:
        OAuthError: ``invalid_request_uri``: the reference is not ours (nothing is fetched from anywhere), too old, used
            up, or of another client (RFC 9126 §2.2, RFC 9101 §7).
    """
    digest = in_digests(parameters.require("request_uri"))
    if _DIGEST.fullmatch(digest):
        key = _key(digest)
        raw = await resources.bus.redis.run_script(_OPEN, keys=[key], args=[OPENED_MS])
        values: Mapping[str, str] = {} if raw is None else orjson.loads(raw)
        if values.get("client_id") == client_id:
            return AuthorizationParameters(Parameters(values), AUTHORIZE), key
    raise OAuthError(
        "invalid_request_uri", "request_uri is unknown, expired, or was pushed by another client."
    )


def _key(digest: str) -> str:
    return f"lk:pushed:{digest}"
