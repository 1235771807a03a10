"""Webhooks without services around them: the rows of auth_api, its sender, a clock that the test moves, real receivers."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from standardwebhooks import Webhook

from services.auth_api.accounts.identities import Identity, Introduction, account_of
from services.auth_api.clients.model import Client
from services.auth_api.clients.registry import create_client, delete_client, update_client
from services.auth_api.grants.store import record_grant
from services.auth_api.resources import Resources, make_resources
from services.auth_api.webhooks.keys import live_keys
from services.auth_api.webhooks.recording import record_changed_keys
from services.auth_api.webhooks.sender import WebhookSender
from shared.bus import Delivery
from shared.contracts.clients import ClientFields
from shared.contracts.events import ChangedKey, KeysChanged
from shared.errors import StoreUnavailable
from shared.settings import load_settings
from shared.web.guarded_fetcher import GuardedFetcher
from tests.harness.stores import Servers, Stores, fresh_stores
from tests.harness.webhooks import Heard
from tests.integration.key_issuer.conftest import HandClock

SECOND = 1_000
DAY = 86_400_000


@dataclass(slots=True)
class Office:
    """What a test of webhooks needs."""

    resources: Resources
    clock: HandClock
    sender: WebhookSender
    fetcher: GuardedFetcher

    async def sql(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows of schema ``auth``."""
        async with self.resources.database.connection() as connection:
            return await connection.fetch(statement, *arguments)

    async def person(self, external_id: str | None = None) -> int:
        """Somebody whom the site knows; the account."""
        identity = Identity("site", external_id or secrets.token_hex(6))
        return (await account_of(self.resources, identity, Introduction())).user_id

    async def client(self, address: str | None, author: int | None = None) -> Client:
        """A client with that address."""
        fields = ClientFields(
            name="Epic Games",
            redirect_uris=("https://epicgames.example.com/callback",),
            requested_permissions=("customise_score",),
            webhook_uri=address,
        )
        author = await self.person() if author is None else author
        return await create_client(self.resources, author, fields, secrets.token_hex(32))

    async def set_address(self, client: Client, address: str | None) -> None:
        """The author gives another one, or none."""
        await update_client(self.resources, client.author, client.client_id, {"webhook_uri": address})

    async def delete(self, client: Client) -> None:
        """The author deletes it. No issuer runs here: its part is left to the event."""
        with pytest.raises(StoreUnavailable):
            await delete_client(self.resources, client.author, client.client_id)

    async def connect(self, user_id: int, client: Client) -> None:
        """A standing consent."""
        now = self.clock.now()
        await record_grant(self.resources, user_id, client.client_id, ["customise_score"], now)

    async def tell(
        self,
        client_id: str,
        keys: int = 1,
        *,
        change: Any = "revoked",
        reason: str = "person",
        message_id: str | None = None,
        ago_ms: int = 0,
        user_id: int = 7,
        one_person: bool = False,
    ) -> None:
        """What key_issuer says of so many keys of a client, in messages of 50: of as many people or one."""
        left, messages = keys, []
        while left > 0:
            changed = tuple(
                ChangedKey(
                    key_id=secrets.token_hex(8),
                    user_id=user_id if one_person else user_id + left - number - 1,
                    client_id=client_id,
                )
                for number in range(min(left, 50))
            )
            on = self.clock.now() - ago_ms
            messages.append(KeysChanged(change=change, reason=reason, on=on, keys=changed))
            left -= 50
        for begin in range(0, len(messages), 128):
            part = messages[begin : begin + 128]
            await self.hear(part, message_id)

    async def hear(self, messages: list[KeysChanged], message_id: str | None = None) -> None:
        """What the consumer does with messages."""
        deliveries = [
            Delivery(message_id or secrets.token_hex(16), "key_issuer", message.on, None, 1)
            for message in messages
        ]
        await record_changed_keys(self.resources, messages, deliveries)

    async def send(self, turns: int = 1_000) -> int:
        """Sends everything that is due now, until nothing is; how many turns it took."""
        taken = 0
        while taken < turns and (begun := await self.sender.begin_turns()):
            await self.sender.settle()
            taken += begun
        return taken

    @asynccontextmanager
    async def replica(self) -> AsyncIterator[WebhookSender]:
        """The sender of another process on the same stores."""
        resources = make_resources(self.resources.settings, self.clock)
        sender = WebhookSender(resources, self.fetcher)
        try:
            yield sender
        finally:
            await sender.settle()
            await resources.database.stop()
            resources.passwords.close()
            resources.field_checker.close()

    def later(self, seconds: float) -> None:
        """The clock goes on."""
        self.clock.ahead_ms += round(seconds * 1000)

    async def rows(self, client: Client) -> list[asyncpg.Record]:
        """A client's deliveries, oldest first."""
        return await self.sql(
            "SELECT * FROM webhook_deliveries WHERE client_id = $1 ORDER BY number", client.client_id
        )

    async def statuses(self, client: Client) -> dict[str, int]:
        """How many of a client's deliveries have each status."""
        rows = await self.sql(
            "SELECT status, count(*) FROM webhook_deliveries WHERE client_id = $1 GROUP BY 1",
            client.client_id,
        )
        return {row["status"]: row["count"] for row in rows}

    async def endpoint(self, client: Client) -> asyncpg.Record | None:
        """What is known of a client's address."""
        rows = await self.sql("SELECT * FROM webhook_endpoints WHERE client_id = $1", client.client_id)
        return rows[0] if rows else None

    async def verify(self, client: Client, heard: Heard) -> None:
        """Fails unless the library of the specification accepts it."""
        (key,) = await live_keys(self.resources, client.client_id)
        Webhook(key.secret).verify(heard.body, dict(heard.headers))


@asynccontextmanager
async def opened_office(servers: Servers) -> AsyncIterator[Office]:
    """One on stores of its own, whose receivers may be on loopback."""
    async with fresh_stores(servers) as stores, office_on(stores) as office:
        yield office


@asynccontextmanager
async def office_on(stores: Stores) -> AsyncIterator[Office]:
    """One on given stores."""
    environment = {"LATCHKEY_THROTTLE": "off", "LATCHKEY_PRIVATE_TARGETS": "on"}
    settings = load_settings({**stores.environment(), **environment})
    clock = HandClock()
    resources = make_resources(settings, clock)
    await resources.bus.start()
    fetcher = GuardedFetcher(settings)
    sender = WebhookSender(resources, fetcher)
    try:
        yield Office(resources, clock, sender, fetcher)
    finally:
        await sender.settle()
        await fetcher.close()
        await resources.bus.stop()
        await resources.database.stop()
        resources.passwords.close()
        resources.field_checker.close()
