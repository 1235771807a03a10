"""A person's keys: made here at the edge, kept by key_issuer; only digests go there.

Everything here raises ``StoreUnavailable`` where a store or the issuer does not answer: then there is no new live key, and
whether a change was made is unknown; the same request may be sent again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from services.auth_api.resources import Resources
from shared.api_key import USER_KEY, MintedKey, mint_key
from shared.contracts.authorization import MintedDigests
from shared.contracts.keys import (
    ChangeKey,
    IssueKey,
    KeyChanged,
    KeyList,
    KeyView,
    ListKeys,
    RevokeKey,
    RotateKey,
)
from shared.contracts.sessions import SessionUser

RETRY_MS: Final = 10 * 60_000
"""How long a repeated rotation counts as a retry and is answered with the same new key."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key for one answer: what its owner sees of it from now on, and the key itself."""

    view: KeyView
    token: str = field(repr=False)


class ConsentWithdrawnError(Exception):
    """The account was disabled, or the app disconnected or deleted, while the key was being made; there is none."""


class TooManyKeysError(Exception):
    """The person has as many keys of their own as the site allows; there is no new one."""


async def list_keys(resources: Resources, user_id: int) -> tuple[KeyView, ...]:
    """The person's keys, newest first: live ones and those that ended in the last 30 days, at most 200."""
    reply = await resources.bus.request(ListKeys(user_id=user_id))
    return reply.keys


async def list_page(resources: Resources, user_id: int, after: str) -> KeyList:
    """A page of the person's keys, newest first, after the key with this id; the first page after an empty one."""
    return await resources.bus.request(ListKeys(user_id=user_id, after=after))


async def create_key(
    resources: Resources,
    user: SessionUser,
    *,
    peer: str,
    identifier: str,
    permissions: tuple[str, ...],
    expires_in: int | None,
) -> NewKey:
    """Makes a personal key; ``expires_in`` in seconds.

    Raises:
        ConsentWithdrawnError: the account was disabled meanwhile.
        TooManyKeysError: ``KEYS_PER_USER`` are live already.
        Throttled: the person, or people at this peer, have made too many, live or not.
    """
    await resources.limiter.take_of_person(user.user_id, resources.limiter.people_at(peer))
    now, settings = resources.clock.now(), resources.settings
    minted = mint_key(settings.key_prefix, USER_KEY, settings.public_url)
    command = IssueKey(
        key_id=minted.key_id,
        digest=minted.digest,
        code_digest=None,
        user_id=user.user_id,
        username=user.username,
        external_issuer=user.external_issuer,
        external_user=user.external_user,
        client_id=None,
        identifier=identifier,
        permissions=permissions,
        expires_on=None if expires_in is None else now + expires_in * 1000,
        consented_on=now,
        origin="personal",
    )
    reply = await resources.bus.request(command)
    if reply.outcome == "limit":
        raise TooManyKeysError
    if reply.outcome != "issued" or reply.key is None:
        raise ConsentWithdrawnError
    return NewKey(reply.key, minted.token)


async def revoke_key(resources: Resources, user_id: int, key_id: str) -> bool:
    """Revokes a key of this person, dead at every verifier within a second; whether there is such a key."""
    command = RevokeKey(key_id=key_id, user_id=user_id, reason="revoked by its owner")
    return (await resources.bus.request(command)).found > 0


async def change_key(resources: Resources, change: ChangeKey) -> KeyChanged:
    """Renames a key or makes it worth less; only resuming it makes it worth more, and is counted.

    Raises:
        Throttled: the person has resumed or made too many keys.
    """
    if change.status == "active":
        await resources.limiter.take_of_person(change.user_id)
    return await resources.bus.request(change)


async def rotate_key(
    resources: Resources,
    user_id: int,
    key_id: str,
    overlap_seconds: int,
    replacements: Iterable[MintedKey | MintedDigests],
) -> KeyChanged:
    """Makes a new key in the same grant; the old one lives at most ``overlap_seconds`` longer.

    ``replacements`` are derived from the old key and the request (``derive_replacements``), so that a retry after a lost
    answer gives the same one for ``RETRY_MS``. Later, or where that one has ended, an old key that still lives gets the
    next.
    """
    for minted in replacements:
        rotation = RotateKey(
            key_id=key_id,
            user_id=user_id,
            overlap_seconds=overlap_seconds,
            new_key_id=minted.key_id,
            new_digest=minted.digest,
        )
        changed = await resources.bus.request(rotation)
        if changed.outcome != "done" or changed.key is None:
            return changed
        young = changed.key.created_on > resources.clock.now() - RETRY_MS
        if young and changed.key.status not in ("revoked", "expired"):
            return changed
    return KeyChanged(outcome="conflict", field="status", detail="this key was rotated too often")
