"""The keys that sign a client's webhooks: derived, never stored; only which version of them signs is a row.

Everything here raises ``StoreUnavailable`` where PostgreSQL does not answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.auth_api.clients.registry import lock_client, read_own_client
from services.auth_api.db.repository import OPERATOR, write_audit
from services.auth_api.resources import Resources
from services.auth_api.webhooks.signing import WebhookKey
from shared.secret_tokens import digest_of, keyed_digest
from shared.webhook_secret import derive_hmac_key

if TYPE_CHECKING:
    from asyncpg import Record

RETRY_MS: Final = 10 * 60_000
"""How long a repeated rotation counts as a retry and is answered with the same new version."""
KEPT_VERSION_DAYS: Final = 30
"""After a rotation, at least, is it forgotten of a client that is gone."""
MOST_SERVER_SECRETS: Final = 2
"""By how many of the server's secrets each version signs while that rotates: with two versions four keys at most."""


@dataclass(frozen=True, slots=True)
class Versions:
    """Which versions of a client's keys sign: the newest, and the one before it for a while."""

    version: int = 1
    created_on: int = 0
    previous_ends_on: int = 0
    """Until when the version before signs; times are Unix milliseconds."""
    request_digest: str = ""
    """Of the request that made the newest, by which a retry is known."""

    def rotated(self, now: int, previous_ends_on: int, request_digest: str) -> Versions:
        """After a rotation: the version that was the newest ends then, and the one before it at once.

        A retry of the last rotation makes no other version, and can only bring the end of the one before closer.
        """
        if self.request_digest == request_digest and now < self.created_on + RETRY_MS:
            sooner = min(self.previous_ends_on, previous_ends_on)
            return Versions(self.version, self.created_on, sooner, request_digest)
        return Versions(self.version + 1, now, previous_ends_on, request_digest)

    def live(self, now: int) -> Iterator[tuple[int, int | None]]:
        """Each version that signs at ``now`` and when it ends, the newest first."""
        yield self.version, None
        if now < self.previous_ends_on:
            yield self.version - 1, self.previous_ends_on


async def live_keys(resources: Resources, client_id: str) -> list[WebhookKey]:
    """The keys that sign a client's webhooks now, newest first: all that a delivery is signed with.

    One, or two during the overlap of a rotation; twice as many while the server's secret rotates (``LATCHKEY_SECRET`` with
    more than one value). Also of a client that was deleted.
    """
    found = await resources.database.fetchrow("find_webhook_versions", client_id)
    return _keys(resources, client_id, _versions_of(found))


async def own_keys(resources: Resources, author_id: int, client_id: str) -> list[WebhookKey]:
    """``live_keys`` to the client's author.

    Raises:
        UnknownClientError: there is no such client, or it is another author's.
    """
    await read_own_client(resources, author_id, client_id)
    return await live_keys(resources, client_id)


async def rotate_keys(
    resources: Resources, author_id: int | None, client_id: str, overlap_seconds: int, request: str
) -> list[WebhookKey]:
    """Makes a new version that signs from now on; the one before signs ``overlap_seconds`` longer, none older at all.

    The keys that are live then, newest first. The same ``request`` again within ``RETRY_MS`` is a retry: it makes no other
    version, since one more would end the keys that receivers check with. ``author_id`` is ``None`` for the operator, who may
    rotate those of any client.

    Raises:
        UnknownClientError: there is no such client, or it is another author's.
    """
    sql = resources.database.sql
    async with resources.database.transaction() as connection:
        await lock_client(resources, connection, author_id, client_id)
        before = _versions_of(await connection.fetchrow(sql["find_webhook_versions"], client_id))
        now = resources.clock.now()  # those that wait for the lock come after whoever has it
        # Without an overlap the old ones are dead by every process's clock, also one that is behind or is put back.
        previous_ends_on = now + overlap_seconds * 1000 if overlap_seconds else 0
        after = before.rotated(now, previous_ends_on, digest_of(request))
        await connection.execute(
            sql["keep_webhook_versions"],
            client_id,
            after.version,
            after.created_on,
            after.previous_ends_on,
            after.request_digest,
        )
        if after != before:
            subject = f"client:{client_id}"
            actor = OPERATOR if author_id is None else f"user:{author_id}"
            await write_audit(
                resources.database, connection, now, actor, "client.webhook-keys-rotated", subject
            )
    return _keys(resources, client_id, after)


def derive_key(secret: bytes, client_id: str, version: int, ends_on: int | None) -> WebhookKey:
    """The keys of one version of a client under one of the server's secrets: always the same ones."""
    hmac_key = derive_hmac_key(secret, client_id, version)
    seed = bytes.fromhex(keyed_digest(secret, "webhook ed25519", client_id, str(version)))
    return WebhookKey(version, hmac_key, seed, ends_on)


def _keys(resources: Resources, client_id: str, versions: Versions) -> list[WebhookKey]:
    secrets: Sequence[bytes] = resources.settings.secrets[:MOST_SERVER_SECRETS]
    return [
        derive_key(secret, client_id, version, ends_on)
        for version, ends_on in versions.live(resources.clock.now())
        for secret in secrets
    ]


def _versions_of(row: Record | None) -> Versions:
    return Versions() if row is None else Versions(**row)
