"""A person's access list and keys as the pages ask for them: whose session it is has been found out already.

Everything here raises ``StoreUnavailable`` where a store or the issuer does not answer; whether a change was made is then
unknown.
"""

from __future__ import annotations

import asyncio
from typing import Final

from services.auth_api.clients.registry import list_disabled_webhooks
from services.auth_api.grants.connected_apps import disconnect_app, list_apps, revoke_access
from services.auth_api.keys.personal_keys import change_key, list_keys, revoke_key, rotate_key
from services.auth_api.rate_limit import Throttled
from services.auth_api.resources import Resources
from shared.contracts.access import (
    LIVE,
    Access,
    AccessRevoked,
    ChangeOwnKey,
    OwnKeyChanged,
    ReadAccess,
    RevokeAccess,
    RevokeOwnKey,
    RotateOwnKey,
)
from shared.contracts.authorization import MintedDigests
from shared.contracts.keys import ChangeKey, KeyChanged, KeyView
from shared.contracts.sessions import SessionUser

LARGEST_ACCESS: Final = 60_000
"""In bytes; the bus carries 64 KiB."""


async def read_access(resources: Resources, user: SessionUser, _command: ReadAccess) -> Access:
    """What has access to the person's account."""
    apps, keys, disabled = await asyncio.gather(
        list_apps(resources, user.user_id),
        list_keys(resources, user.user_id),
        list_disabled_webhooks(resources, user.user_id),
    )
    access = Access(apps=apps, disabled_webhooks=disabled)
    return access.model_copy(update={"keys": _fitting(access, keys)})


async def revoke_own_access(resources: Resources, user: SessionUser, command: RevokeAccess) -> AccessRevoked:
    """Takes back what the person gave to one client, or everything."""
    if command.client_id is None:
        await revoke_access(resources, user.user_id)
    elif not await disconnect_app(resources, user.user_id, command.client_id):
        return AccessRevoked(outcome="not_found")
    return AccessRevoked(outcome="done")


async def change_own_key(resources: Resources, user: SessionUser, command: ChangeOwnKey) -> OwnKeyChanged:
    """Turns a key of the person down, or renames it."""
    change = ChangeKey(user_id=user.user_id, **command.model_dump(exclude={"session"}))
    try:
        return OwnKeyChanged(changed=await change_key(resources, change))
    except Throttled as error:
        return OwnKeyChanged(changed=_too_many(error))


async def revoke_own_key(resources: Resources, user: SessionUser, command: RevokeOwnKey) -> OwnKeyChanged:
    """Ends a key of the person."""
    found = await revoke_key(resources, user.user_id, command.key_id)
    return OwnKeyChanged(changed=KeyChanged(outcome="done" if found else "not_found"))


async def rotate_own_key(resources: Resources, user: SessionUser, command: RotateOwnKey) -> OwnKeyChanged:
    """Puts a key that the page has minted in the place of another one."""
    replacements = (MintedDigests(key_id=command.new_key_id, digest=command.new_digest), *command.later)
    overlap = command.overlap_seconds
    try:
        await resources.limiter.take_of_person(user.user_id)
    except Throttled as error:
        return OwnKeyChanged(changed=_too_many(error))
    changed = await rotate_key(resources, user.user_id, command.key_id, overlap, replacements)
    return OwnKeyChanged(changed=changed)


def _too_many(error: Throttled) -> KeyChanged:
    return KeyChanged(outcome="conflict", detail=error.failure.detail, retry_after=error.retry_after)


def _fitting(access: Access, keys: tuple[KeyView, ...]) -> tuple[KeyView, ...]:
    """As many keys as fit into a message beside the rest, in their order: live ones before ended ones."""
    room = LARGEST_ACCESS - len(access.to_wire())
    kept = set()
    for key in sorted(keys, key=lambda key: key.status not in LIVE):
        room -= len(key.to_wire()) + 1
        if room < 0:
            break
        kept.add(key.key_id)
    return tuple(key for key in keys if key.key_id in kept)
