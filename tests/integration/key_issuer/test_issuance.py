"""Making keys: each at most once, whatever is delivered twice, late, together or broken."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import pytest

from services.key_issuer.db.repository import KeyRows
from services.key_issuer.issuance import NotIssuedError, issue_keys, warm_up
from services.key_issuer.revocation import revoke_code, revoke_grant
from shared.contracts.events import KeysChanged, KeysInvalidated
from shared.contracts.keys import IssueKeyReply, RevokeCode, RevokeGrant
from shared.errors import StoreUnavailable
from tests.integration.key_issuer.conftest import Bench, command, mint, open_bench, until


async def test_a_key_is_a_row_and_a_line_in_the_audit(bench: Bench) -> None:
    """One transaction writes both, and no part of the key; no event, which no service would read."""
    key = mint()
    order = command(key, expires_on=9_999_999_999_999)
    reply = (await bench.issue(order))[0]
    assert reply.outcome == "issued"
    assert reply.key is not None
    assert reply.key.permissions == ("customise_score", "delete_score")
    row = dict((await bench.sql("SELECT * FROM api_keys"))[0])
    assert row["key_id"] == key.key_id
    assert row["code_digest"].hex() == order.code_digest
    assert row["digest"].hex() != key.digest
    assert row["permissions"] == ["customise_score", "delete_score"]
    assert (row["status"], row["epoch"], row["binding"]) == ("active", 0, None)
    assert row["expires_on"] == 9_999_999_999_999
    assert key.token[-49:-6] not in str(row)
    assert await bench.audit(key.key_id) == ["issued"]
    assert await bench.sql("SELECT FROM outbox") == []
    assert await bench.sql("SELECT FROM undelivered_keys") == []


async def test_warming_up_makes_nothing(bench: Bench) -> None:
    """The statements of an issue run with nothing to do: no row, no event, no line; later ones are as ever."""
    await warm_up(bench.issuer)
    for table in ("api_keys", "holdings", "outbox", "audit"):
        assert (await bench.sql(f"SELECT count(*) FROM {table}"))[0]["count"] == 0
    assert (await bench.issue(command(mint())))[0].outcome == "issued"


async def test_a_batch_is_answered_in_order(bench: Bench) -> None:
    """Each command has its own outcome."""
    keys = [mint() for _ in range(128)]
    orders = [command(key, user_id=1 + number % 40) for number, key in enumerate(keys)]
    replies = await bench.issue(*orders)
    assert [reply.key.key_id if reply.key else None for reply in replies] == [key.key_id for key in keys]
    assert (await bench.sql("SELECT count(*) FROM api_keys WHERE status = 'active'"))[0]["count"] == 128


async def test_a_second_delivery_gives_the_same_answer(bench: Bench) -> None:
    """And neither a second row nor a second line."""
    order = command(mint())
    first = await bench.issue(order)
    again = await bench.issue(order, order)
    assert again == first * 2
    assert await bench.audit(order.key_id) == ["issued"]


async def test_a_batch_may_hold_one_command_twice(bench: Bench) -> None:
    """A duplicate XADD lands in the same batch."""
    order = command(mint())
    replies = await bench.issue(order, command(mint()), order)
    assert [reply.outcome for reply in replies] == ["issued"] * 3
    assert replies[0] == replies[2]


async def test_a_code_that_redis_forgot_gives_no_second_key(bench: Bench) -> None:
    """The first key dies, and both asks learn nothing (RFC 6749 §4.1.2)."""
    first = command(mint())
    await bench.issue(first)
    reply = (await bench.issue(command(mint(), code_digest=first.code_digest)))[0]
    assert reply == IssueKeyReply(outcome="code_already_used")
    assert await bench.status(first.key_id) == "revoked:code_replayed"
    assert (await bench.sql("SELECT count(*) FROM api_keys"))[0]["count"] == 1
    assert await bench.audit(first.key_id) == ["issued", "revoked"]


async def test_the_second_key_of_a_code_in_one_batch_is_refused(bench: Bench) -> None:
    """The order within the batch decides."""
    first = command(mint())
    replies = await bench.issue(first, command(mint(), code_digest=first.code_digest))
    assert [reply.outcome for reply in replies] == ["issued", "code_already_used"]
    assert await bench.status(first.key_id) == "revoked:code_replayed"


async def test_a_replay_that_overtakes_the_issue_wins(bench: Bench) -> None:
    """The row comes later and is born revoked."""
    order = command(mint())
    assert order.code_digest is not None
    assert order.client_id is not None
    replay = RevokeCode(code_digest=order.code_digest, client_id=order.client_id, user_id=order.user_id)
    assert (await revoke_code(bench.issuer, replay)).found == 0
    assert (await bench.issue(order))[0].outcome == "code_already_used"
    assert await bench.status(order.key_id) == "revoked:code_replayed"
    assert await bench.audit(order.key_id) == ["issued", "revoked"]


async def test_a_withdrawn_consent_gives_no_key(bench: Bench) -> None:
    """Withdrawn from one client, by the whole person, or with the whole client."""
    now = bench.clock.now()
    for fields in ({"user_id": 2, "client_id": "CXFervidex"}, {"user_id": 3, "client_id": None}):
        await revoke_grant(bench.issuer, RevokeGrant(before=now, reason="app_disconnected", **fields))
    await revoke_grant(
        bench.issuer, RevokeGrant(user_id=None, client_id="CXGone", before=now, reason="client_deleted")
    )
    outcomes = await bench.issue(
        command(mint(), consented_on=now),
        command(mint(), consented_on=now, client_id="Other"),
        command(mint(), consented_on=now, user_id=3, client_id="Other"),
        command(mint(), consented_on=now, user_id=3, client_id=None),
        command(mint(), consented_on=now, user_id=4, client_id="CXGone"),
        command(mint(), consented_on=now + 1, user_id=3),
        command(mint(), consented_on=now + 1, client_id="CXGone"),
    )
    assert [reply.outcome for reply in outcomes] == [
        "consent_withdrawn",
        "issued",
        "consent_withdrawn",
        "consent_withdrawn",
        "consent_withdrawn",
        "issued",
        "issued",
    ]


async def test_what_only_the_database_notices_spoils_nothing_else(bench: Bench) -> None:
    """One of a batch is refused by a constraint: the others are made one by one."""
    keys = [mint() for _ in range(5)]
    orders = [command(key) for key in keys]
    orders[2] = command(keys[2], identifier="poison")
    await bench.sql("ALTER TABLE api_keys ADD CONSTRAINT poison CHECK (identifier <> 'poison')")
    try:
        outcomes = await issue_keys(bench.issuer, orders)
    finally:
        await bench.sql("ALTER TABLE api_keys DROP CONSTRAINT poison")
    assert [isinstance(outcome, NotIssuedError) for outcome in outcomes] == [False, False, True, False, False]
    assert (await bench.sql("SELECT count(*) FROM api_keys WHERE status = 'active'"))[0]["count"] == 4


async def test_ten_keys_of_a_grant_live_and_the_oldest_goes_first(bench: Bench) -> None:
    """Also paused ones count, expired ones and a person's own do not."""
    keys = [(await bench.make()).key_id for _ in range(10)]
    await bench.sql("UPDATE api_keys SET status = 'paused' WHERE key_id = $1", keys[1])
    eleventh = (await bench.make()).key_id
    assert await bench.status(keys[0]) == "revoked:evicted"
    assert await bench.status(keys[1]) == "paused"
    await bench.make()
    assert await bench.status(keys[1]) == "revoked:evicted"
    await bench.sql("UPDATE api_keys SET expires_on = 1 WHERE key_id = $1", keys[5])
    await bench.make()
    assert await bench.status(keys[2]) == "active"
    assert await bench.status(eleventh) == "active"
    own = [(await bench.make(client_id=None, code_digest=None)).key_id for _ in range(12)]
    assert await bench.status(own[0]) == "active"
    assert await bench.status(keys[2]) == "active"


async def test_a_batch_of_one_grant_keeps_the_newest_ten(bench: Bench) -> None:
    """Thousands of exchanges by one person and client leave ten keys, and each was issued and ended once."""
    old = [(await bench.make()).key_id for _ in range(3)]
    keys = [mint() for _ in range(40)]
    replies = await bench.issue(*(command(key) for key in keys))
    assert {reply.outcome for reply in replies} == {"issued"}
    live = await bench.sql("SELECT key_id FROM api_keys WHERE status = 'active' ORDER BY number")
    assert [row["key_id"] for row in live] == [key.key_id for key in keys[-10:]]
    assert await bench.status(old[0]) == "revoked:evicted"
    counts = await bench.sql(
        "SELECT event, count(*), count(DISTINCT key_id) AS keys FROM audit GROUP BY 1 ORDER BY 1"
    )
    assert [tuple(row) for row in counts] == [("issued", 43, 43), ("revoked", 33, 33)]


async def test_what_the_tables_tell_is_what_the_contract_says(bench: Bench) -> None:
    """Events that the statements write themselves are read back as their type, strictly; no other is written."""
    await bench.issue(*(command(mint(), permissions=("a", "b")) for _ in range(12)))
    own = await bench.make(client_id=None, code_digest=None, user_id=3)
    await revoke_grant(
        bench.issuer, RevokeGrant(user_id=3, client_id=None, before=2**62, reason='a "quoted" reason')
    )
    assert await bench.status(own.key_id) == 'revoked:a "quoted" reason'
    surplus, ended = await bench.sql("SELECT stream, type, body FROM outbox ORDER BY id")
    assert (surplus["stream"], surplus["type"]) == (KeysChanged.stream, KeysChanged.type)
    assert KeysChanged.model_validate_json(surplus["body"]).reason == "evicted"
    assert (ended["stream"], ended["type"]) == (KeysInvalidated.stream, KeysInvalidated.type)
    assert KeysInvalidated.model_validate_json(ended["body"]).key_ids == (own.key_id,)


async def test_a_key_is_called_as_the_person_said_and_remembers_what_its_code_was_bound_to(
    bench: Bench,
) -> None:
    """The client's name is for keys without a label of their own."""
    order = command(mint(), label="Kitchen tablet 🍳", binding={"challenge": "c" * 43, "redirect": "d" * 64})
    (reply,) = await bench.issue(order)
    assert reply.key is not None
    assert reply.key.identifier == "Kitchen tablet 🍳"
    (row,) = await bench.sql("SELECT identifier, binding FROM api_keys")
    assert row["identifier"] == "Kitchen tablet 🍳"
    assert json.loads(row["binding"]) == order.binding


async def test_eviction_by_two_replicas_at_once_leaves_ten(bench: Bench) -> None:
    """They wait for each other at the grant, never in a circle."""

    async def issue_batches(replica: Bench, users: tuple[int, ...]) -> None:
        for _ in range(5):
            await replica.issue(
                *(command(mint(), user_id=user, client_id=client) for user in users for client in "AB")
            )

    async with open_bench(bench.url) as other:
        # As many batches at a time as a consumer runs.
        await asyncio.gather(
            *(
                issue_batches(replica, users)
                for replica, users in ((bench, (1, 2, 3)), (other, (3, 2, 1)))
                for _ in range(3)
            )
        )
    rows = await bench.sql(
        "SELECT user_id, client_id, count(*) FROM api_keys WHERE status = 'active' GROUP BY 1, 2 ORDER BY 1, 2"
    )
    assert [tuple(row) for row in rows] == [(user, client, 10) for user in (1, 2, 3) for client in "AB"]


async def test_fifty_commands_of_one_code_over_two_replicas_give_one_row(bench: Bench) -> None:
    """Each with a key of its own: one is issued, then ended by the next; never a second row."""
    async with open_bench(bench.url) as other:
        first = command(mint())
        orders = [first] + [command(mint(), code_digest=first.code_digest) for _ in range(49)]
        replies = await asyncio.gather(
            *((bench, other)[number % 2].issue(order) for number, order in enumerate(orders))
        )
    outcomes = sorted(reply[0].outcome for reply in replies)
    assert outcomes == ["code_already_used"] * 49 + ["issued"]
    rows = await bench.sql("SELECT status FROM api_keys")
    assert [row["status"] for row in rows] == ["revoked"]


async def test_a_process_that_stands_still_does_not_keep_its_locks(bench: Bench) -> None:
    """It was stopped in the middle of a transaction: seconds later its grant is free, and its work is undone."""
    async with open_bench(bench.url) as stopped:
        with pytest.raises((StoreUnavailable, asyncpg.PostgresError)):  # noqa: PT012 - the end of the block fails too
            async with stopped.issuer.database.transaction() as connection:
                rows = KeyRows(connection, stopped.issuer.database.sql)
                await rows.lock_grants({(2, "CXFervidex"): 1})
                order = command(mint())

                async def is_issued() -> bool:
                    try:
                        return (await bench.issue(order))[0].outcome == "issued"
                    except StoreUnavailable:
                        return False

                await until(is_issued, 12.0)
                await rows.lock_grants({(2, "CXFervidex"): 1})
    assert (await bench.sql("SELECT issued FROM holdings"))[0]["issued"] == 1
