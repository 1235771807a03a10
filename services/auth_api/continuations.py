"""Where a person was going when they had to sign in: kept here, so that no address ever comes from the browser."""

from __future__ import annotations

import re
from typing import Final

from services.auth_api.resources import Resources
from shared.secret_tokens import digest_of, random_base62

KEPT_SECONDS: Final = 15 * 60
HOME: Final = "/"
_ID_LENGTH: Final = 22
_ID: Final = re.compile(r"[0-9A-Za-z]{22}", re.ASCII)
LONGEST_TARGET: Final = 16_384
# A path on our origin as a browser reads it: one slash, then neither slash nor backslash; only visible ASCII,
# since browsers drop tabs and line breaks before they look ("/\t/evil.example" becomes "//evil.example").
_TARGET: Final = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*", re.ASCII)


def is_own_target(target: str) -> bool:
    """Whether this is a path (and query) on our own origin and cannot be read as anything else."""
    return len(target) <= LONGEST_TARGET and _TARGET.fullmatch(target) is not None


def is_continuation_id(text: str) -> bool:
    """Whether this has the shape of an id that we gave."""
    return _ID.fullmatch(text) is not None


async def store_continuation(resources: Resources, target: str) -> str:
    """Keeps a target for 15 minutes; its opaque id. What is no path of ours becomes the home page.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    continue_id = random_base62(_ID_LENGTH)
    kept = target if is_own_target(target) else HOME
    await resources.bus.redis.execute("SET", _name(continue_id), kept, "EX", KEPT_SECONDS)
    return continue_id


async def take_continuation(resources: Resources, continue_id: str | None) -> str:
    """Where to go after signing in: the kept target, once; the home page without one.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    if continue_id is None or not is_continuation_id(continue_id):
        return HOME
    kept = await resources.bus.redis.execute("GETDEL", _name(continue_id))
    return HOME if kept is None else str(kept, "ascii")


def _name(continue_id: str) -> str:
    return f"lk:continuation:{digest_of(continue_id)}"
