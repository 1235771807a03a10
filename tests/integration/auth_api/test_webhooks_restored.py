"""Webhooks and a backup: what waited is sent by whatever it is restored into, under the same id; what was heard is not sent again."""

from __future__ import annotations

import io

from deploy.backup import restore, take
from services.auth_api.webhooks.keys import live_keys, rotate_keys
from shared.settings import load_settings
from tests.harness.stores import Servers, Stores, fresh_database, fresh_key_space, fresh_stores
from tests.harness.webhooks import Receiver, answering
from tests.integration.auth_api.conftest import Registry, serving_registry
from tests.integration.auth_api.webhook_office import office_on


async def _copied(stores: Stores, url: str) -> None:
    file = io.BytesIO()
    await take(load_settings(stores.environment()), file)
    file.seek(0)
    await restore(load_settings({"LATCHKEY_DATABASE_URL": url}), file)


async def test_only_what_waited_is_sent_after_a_restore(servers: Servers, receiver: Receiver) -> None:
    """With the id and the bytes of before, signed by the versions of keys that there were; what is over stays over."""
    async with (
        fresh_stores(servers) as stores,
        fresh_database(servers, migrated=False) as url,
        fresh_key_space(servers) as redis_url,
    ):
        async with office_on(stores) as old:
            client = await old.client(receiver.url)
            await rotate_keys(old.resources, None, client.client_id, 0, "test")
            await old.tell(client.client_id, 3)
            await old.send()
            receiver.answer = answering(500)
            await old.tell(client.client_id, 2)
            await old.send()
            assert await old.statuses(client) == {"delivered": 3, "waiting": 2}
            waiting = {each.webhook_id: each.body for each in receiver.heard[3:]}
            keys = await live_keys(old.resources, client.client_id)
            await _copied(stores, url)
        receiver.heard.clear()
        receiver.answer = answering(204)
        async with office_on(Stores(url, redis_url)) as new:
            assert await live_keys(new.resources, client.client_id) == keys
            new.later(10)
            await new.send()
            assert {each.webhook_id: each.body for each in receiver.heard} == waiting
            for each in receiver.heard:
                await new.verify(client, each)
            new.later(200_000)
            await new.send()
            assert len(receiver.heard) == 2
            assert await new.statuses(client) == {"delivered": 5}


async def test_expiries_that_were_told_are_not_told_again_after_a_restore(
    servers: Servers, receiver: Receiver
) -> None:
    """And one that nobody was told of, since the backup is older than it, is told: at least once."""
    async with (
        fresh_stores(servers) as stores,
        fresh_database(servers, migrated=False) as url,
        fresh_key_space(servers) as redis_url,
    ):
        async with serving_registry(stores, {"THROTTLE": "off", "PRIVATE_TARGETS": "on"}) as old:
            person = await old.site.sign_up()
            client = await person.create_client(webhookUri=receiver.url)
            told, untold = [(await person.give_key(client))["keyID"] for _ in range(2)]
            await _expire(old, told)
            await receiver.wait_for(1, 20)
            await _copied(stores, url)
        receiver.heard.clear()
        async with serving_registry(
            Stores(url, redis_url), {"THROTTLE": "off", "PRIVATE_TARGETS": "on"}
        ) as new:
            await _expire(new, untold)
            heard = await receiver.wait_for(1, 20)
            assert [each.event["data"]["keyID"] for each in heard] == [untold]


async def _expire(registry: Registry, key_id: str) -> None:
    await registry.sql("UPDATE keys.api_keys SET expires_on = created_on + 1 WHERE key_id = $1", key_id)
