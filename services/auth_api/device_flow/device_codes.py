"""Device codes: given to a device, found by the user code that a person types, decided, polled (RFC 8628)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import orjson

from services.auth_api import authorize_pages
from services.auth_api.clients.model import Client
from services.auth_api.codes import scripts
from services.auth_api.codes.store import TOMBSTONE_MS, code_fields, code_key, watermark_keys
from services.auth_api.oauth.authorization_code import CodeRecord
from services.auth_api.oauth.device import (
    INTERVAL_SECONDS,
    LIFETIME_SECONDS,
    device_response,
    mint_user_code,
)
from services.auth_api.rate_limit import USER_CODE, Throttled
from services.auth_api.resources import Resources
from shared.contracts.authorization import ErrorPage
from shared.contracts.previous_release import typed_in_clear
from shared.contracts.sessions import SessionUser
from shared.errors import StoreUnavailable
from shared.secret_tokens import digest_of, random_base62
from shared.user_code import format_user_code, user_code_digests

MOST_LOOK_UPS: Final = 30
"""How often one user code is shown before it is dead: a person needs a few, a guesser many."""
# A client that sleeps exactly the interval may arrive a little early.
_TOLERANCE_MS: Final = 500
_MINT_TRIES: Final = 5
_DIGEST: Final = re.compile(r"\b[0-9a-f]{64}\b", re.ASCII)
_MOST_SECRETS: Final = 4

DeviceOutcome = Literal["done", "decided", "gone", "withdrawn"]


@dataclass(frozen=True, slots=True)
class WaitingDevice:
    """A device that waits for a person's decision."""

    device_digest: str
    client_id: str
    permissions: tuple[str, ...]
    user_code: str | None
    """As it is shown, to consent_ui of the previous release."""


async def start_device(
    resources: Resources, client: Client, permissions: tuple[str, ...], *, peer: str
) -> dict[str, Any]:
    """A new pair of codes for a device: the device authorization response.

    Raises:
        Throttled: this peer or client has been given too many.
    """
    await resources.limiter.take_keeping("device", client.client_id, peer)
    device_code = random_base62(43)
    digest = digest_of(device_code)
    waiting = CodeRecord(
        kind="device",
        client_id=client.client_id,
        user_id=0,
        username="",
        permissions=permissions,
        consented_on=0,
    )
    lifetime_ms = LIFETIME_SECONDS * 1000
    await resources.bus.redis.run_script(
        scripts.DEVICE_START,
        keys=[code_key(digest)],
        args=[lifetime_ms, TOMBSTONE_MS, *code_fields(waiting)],
    )
    pointer = orjson.dumps([digest, client.client_id, permissions])
    for _ in range(_MINT_TRIES):
        user_code = mint_user_code()
        (user_code_digest, *_) = user_code_digests(resources.settings.secrets, user_code)
        taken = await resources.bus.redis.execute(
            "SET", _pointer_key(user_code_digest), pointer, "PX", str(lifetime_ms), "NX"
        )
        if taken is not None:
            return device_response(resources.settings.public_url, device_code, user_code)
    raise StoreUnavailable("redis", "no free user code")


async def look_up(
    resources: Resources, given: str, user: SessionUser, peer: str
) -> WaitingDevice | ErrorPage:
    """The device behind a user code, ``given`` as its digests; a wrong one counts against this person and peer together."""
    limit_key = f"{peer} {user.user_id}"
    try:
        await resources.limiter.check(USER_CODE, limit_key)
    except Throttled as error:
        return authorize_pages.too_many_codes(error.retry_after)
    typed = typed_in_clear(given)
    digests = (
        _DIGEST.findall(given) if typed is None else user_code_digests(resources.settings.secrets, typed)
    )
    found = None
    for user_code_digest in digests[:_MOST_SECRETS]:
        found = found or await resources.bus.redis.execute("GET", _pointer_key(user_code_digest))
    if found is None:
        await resources.limiter.note_failure(USER_CODE, limit_key)
        return authorize_pages.UNKNOWN_USER_CODE
    digest, client_id, permissions = orjson.loads(found)
    seen = await resources.bus.redis.run_script(
        scripts.DEVICE_LOOK_UP, keys=[code_key(digest)], args=[MOST_LOOK_UPS]
    )
    if not seen:
        return authorize_pages.UNKNOWN_USER_CODE
    return WaitingDevice(digest, client_id, tuple(permissions), typed and format_user_code(typed))


async def decide(
    resources: Resources,
    digest: str,
    record: CodeRecord,
    *,
    circumstances: str,
    approve: bool,
    request_id: str,
    begun_on: int,
) -> DeviceOutcome:
    """Lets the device have its key at the next poll, or tells it that the person declined.

    A second call with the same request and decision changes nothing. ``decided``: it was decided otherwise.
    """
    outcome: bytes = await resources.bus.redis.run_script(
        scripts.DEVICE_DECIDE,
        keys=[code_key(digest), *watermark_keys(record.user_id, record.client_id)],
        args=["" if approve else "denied", begun_on, request_id, *code_fields(record, circumstances)],
    )
    return cast("DeviceOutcome", outcome.decode())


async def poll(resources: Resources, digest: str) -> str:
    """The state of a device code; a poll that comes too early does not move the time of the last one.

    One of ``pending``, ``slow_down``, ``denied``, ``expired``, ``gone``, ``approved`` or ``spent``.
    """
    state: bytes = await resources.bus.redis.run_script(
        scripts.DEVICE_POLL,
        keys=[code_key(digest)],
        args=[INTERVAL_SECONDS * 1000 - _TOLERANCE_MS],
    )
    return state.decode()


def _pointer_key(user_code_digest: str) -> str:
    return f"lk:user-code:{user_code_digest}"
