"""Keys that were given up: a requester that was answered 503 holds none, in whatever order the workers handle it."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from services.key_issuer.listing import list_keys
from services.key_issuer.revocation import abandon_keys, revoke_code, revoke_key
from shared.contracts.keys import AbandonKey, IssueKey, ListKeys, RevokeCode, RevokeKey
from tests.integration.key_issuer.conftest import Bench, Desk, command, mint, open_bench, open_desk, until


def giving_up(order: IssueKey) -> AbandonKey:
    """What auth_api says of the key that it has ordered in vain."""
    assert order.code_digest is not None
    return AbandonKey(key_id=order.key_id, code_digest=order.code_digest)


def ordered_again(*earlier: IssueKey) -> IssueKey:
    """The next redeem of the same code."""
    given_up = tuple(order.key_id for order in earlier)
    return command(mint(), code_digest=earlier[0].code_digest, abandoned=given_up)


async def outcome(bench: Bench, order: IssueKey) -> str:
    """The answer to the requester."""
    return (await bench.issue(order))[0].outcome


async def test_a_key_that_was_given_up_ends_and_frees_its_code(bench: Bench) -> None:
    """Every verifier forgets it; the code's next key needs to know nothing of the first."""
    first = command(mint())
    await bench.issue(first)
    for _ in range(2):
        await abandon_keys(bench.issuer, [giving_up(first)])
    assert await bench.status(first.key_id) == "revoked:abandoned"
    assert await bench.audit(first.key_id) == ["issued", "revoked"]
    assert len(await bench.told("keys.narrowed")) == 1
    assert await bench.sql("SELECT FROM abandoned_keys") == []
    second = command(mint(), code_digest=first.code_digest)
    assert await outcome(bench, second) == "issued"
    assert await outcome(bench, first) == "superseded"
    assert await bench.status(second.key_id) == "active"


async def test_a_key_that_was_given_up_before_it_was_made_is_not_made(bench: Bench) -> None:
    """Its issue was delayed; the code's next key is made all the same."""
    first = command(mint())
    for _ in range(2):
        await abandon_keys(bench.issuer, [giving_up(first)])
    assert await outcome(bench, first) == "superseded"
    assert await bench.sql("SELECT FROM api_keys") == []
    assert await outcome(bench, command(mint(), code_digest=first.code_digest)) == "issued"


async def test_the_next_key_of_a_code_does_not_wait_for_the_first_to_be_given_up(bench: Bench) -> None:
    """The command that gives the first one up is handled last, and changes nothing then."""
    first = command(mint())
    second = ordered_again(first)
    assert await outcome(bench, first) == "issued"
    assert await outcome(bench, second) == "issued"
    assert await bench.status(first.key_id) == "revoked:abandoned"
    assert any(first.key_id in body for body in await bench.told("keys.narrowed"))
    await abandon_keys(bench.issuer, [giving_up(first)])
    assert await bench.status(second.key_id) == "active"
    assert await outcome(bench, first) == "superseded"
    assert await outcome(bench, second) == "issued"


async def test_a_late_issue_of_a_key_that_was_given_up_hurts_nothing(bench: Bench) -> None:
    """It is handled after the code's next key was made, and before it is said to be given up."""
    first = command(mint())
    second = ordered_again(first)
    assert await outcome(bench, second) == "issued"
    assert await outcome(bench, first) == "superseded"
    third = ordered_again(first, second)
    assert await outcome(bench, third) == "issued"
    assert await outcome(bench, first) == await outcome(bench, second) == "superseded"
    rows = await bench.sql("SELECT key_id FROM api_keys WHERE status = 'active'")
    assert [row["key_id"] for row in rows] == [third.key_id]


@pytest.mark.parametrize("turned", [False, True])
async def test_both_keys_of_a_code_may_be_in_one_batch(bench: Bench, turned: bool) -> None:
    """Only the second one lives, and the other commands of the batch are as ever."""
    first = command(mint())
    second = ordered_again(first)
    other = command(mint())
    orders = [second, other, first] if turned else [first, other, second]
    outcomes = [reply.outcome for reply in await bench.issue(*orders)]
    assert outcomes == ["issued", "issued", "superseded" if turned else "issued"]
    rows = await bench.sql("SELECT key_id FROM api_keys WHERE status = 'active'")
    assert {row["key_id"] for row in rows} == {second.key_id, other.key_id}


async def test_another_key_of_the_code_that_was_not_given_up_dies(bench: Bench) -> None:
    """Redis forgot that the code was spent: PostgreSQL remembers, and there is no second key (RFC 6749 §4.1.2)."""
    held = command(mint())
    await bench.issue(held)
    stranger = command(mint(), code_digest=held.code_digest, abandoned=("x" * 16,))
    assert await outcome(bench, stranger) == "code_already_used"
    assert await bench.status(held.key_id) == "revoked:code_replayed"


async def test_a_key_that_ended_otherwise_keeps_its_code(bench: Bench) -> None:
    """Its owner took it back, or its code came back: giving it up afterwards gives no other. Eviction is no such end."""
    for reason, after in (("owner", "code_already_used"), ("evicted", "issued")):
        first = command(mint())
        await bench.issue(first)
        await revoke_key(bench.issuer, RevokeKey(key_id=first.key_id, user_id=2, reason=reason))
        assert await outcome(bench, ordered_again(first)) == after
        second = command(mint())
        await bench.issue(second)
        await revoke_key(bench.issuer, RevokeKey(key_id=second.key_id, user_id=2, reason=reason))
        await abandon_keys(bench.issuer, [giving_up(second)])
        assert await bench.status(second.key_id) == f"revoked:{reason}"
        assert await outcome(bench, command(mint(), code_digest=second.code_digest)) == after


async def test_a_replay_counts_also_after_a_key_was_given_up(bench: Bench) -> None:
    """The code came back while its next key was on its way: that one is born dead."""
    first = command(mint())
    await bench.issue(first)
    await abandon_keys(bench.issuer, [giving_up(first)])
    assert first.code_digest is not None
    assert first.client_id is not None
    replay = RevokeCode(code_digest=first.code_digest, client_id=first.client_id, user_id=first.user_id)
    assert (await revoke_code(bench.issuer, replay)).found == 0
    second = ordered_again(first)
    assert await outcome(bench, second) == "code_already_used"
    assert await bench.status(second.key_id) == "revoked:code_replayed"


async def test_a_code_that_is_not_the_keys_ends_nothing(bench: Bench) -> None:
    """A command that is wrong about one of the two is about another key."""
    key = await bench.make()
    await abandon_keys(bench.issuer, [AbandonKey(key_id=key.key_id, code_digest="0" * 64)])
    assert await bench.status(key.key_id) == "active"


async def test_giving_up_waits_for_the_issue_that_runs(bench: Bench) -> None:
    """The transaction that makes the key was open when it was given up: it is found when that has ended."""
    order = command(mint())
    async with bench.issuer.database.transaction() as connection:
        sql = bench.issuer.database.sql
        await connection.fetch(sql["lock_holdings"], [2], ["CXFervidex"], [1])
        abandoning = asyncio.create_task(abandon_keys(bench.issuer, [giving_up(order)]))

        async def is_waiting() -> bool:
            return bool(await bench.sql("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))

        await until(is_waiting)
        await connection.execute(
            "INSERT INTO api_keys (key_id, digest, code_digest, pepper_version, user_id, username, client_id,"
            " identifier, permissions, origin, consented_on, created_on)"
            " VALUES ($1, $2, $3, 1, 2, 'b', 'CXFervidex', 'x', '{p}', 'code', $4, $4)",
            order.key_id,
            b"d" * 32,
            bytes.fromhex(order.code_digest or ""),
            order.consented_on,
        )
        assert not abandoning.done()
    await abandoning
    assert await bench.status(order.key_id) == "revoked:abandoned"


async def test_many_workers_in_any_order_leave_the_last_key_alone(bench: Bench) -> None:
    """Three redeems of each code, each but the last given up, all handled at once by two replicas."""
    async with open_bench(bench.url) as other:
        for round_ in range(12):
            first = command(mint(), user_id=100 + round_)
            second, third = ordered_again(first), ordered_again(first)
            second = second.model_copy(update={"user_id": first.user_id})
            third = third.model_copy(
                update={"user_id": first.user_id, "abandoned": (first.key_id, second.key_id)}
            )
            work = [
                *(bench.issue(order) for order in (first, second, third)),
                *(other.issue(order) for order in (third, second, first)),
                abandon_keys(bench.issuer, [giving_up(first), giving_up(second)]),
                abandon_keys(other.issuer, [giving_up(second)]),
                abandon_keys(other.issuer, [giving_up(first)]),
            ]
            secrets.SystemRandom().shuffle(work)
            await asyncio.gather(*work)
            rows = await bench.sql(
                "SELECT key_id FROM api_keys WHERE user_id = $1 AND status = 'active'", first.user_id
            )
            assert [row["key_id"] for row in rows] == [third.key_id]
            assert await outcome(bench, third) == "issued"
            assert await outcome(bench, first) == await outcome(bench, second) == "superseded"


async def test_giving_up_races_the_issue_without_a_survivor(bench: Bench) -> None:
    """Whichever comes first: no key that was given up lives."""
    async with open_bench(bench.url) as other:
        for _ in range(10):
            orders = [command(mint(), user_id=1 + number) for number in range(20)]
            await asyncio.gather(
                *(bench.issue(*orders[start : start + 5]) for start in range(0, 20, 5)),
                *(abandon_keys(other.issuer, [giving_up(order)]) for order in orders),
            )
            live = await bench.sql("SELECT key_id FROM api_keys WHERE status <> 'revoked'")
            assert live == []


async def test_over_the_bus_a_key_is_listed_at_once_and_gone_when_given_up(desk: Desk) -> None:
    """The list after the reply holds it; giving it up needs no answer, and other replicas refuse it too."""
    async with open_desk(desk.stores) as replica:
        key = mint()
        order = command(key, user_id=777)
        await desk.bus.request(order)
        listed = await desk.bus.request(ListKeys(user_id=777))
        assert [view.key_id for view in listed.keys] == [key.key_id]
        assert await desk.check(key.token) == await replica.check(key.token) == 200
        await desk.bus.send(giving_up(order))

        async def is_refused() -> bool:
            return await desk.check(key.token) == await replica.check(key.token) == 401

        await until(is_refused, 2.0)
        assert (await desk.bus.request(ListKeys(user_id=777))).keys == ()


async def test_a_key_is_listed_right_after_its_commit(bench: Bench) -> None:
    """The next list holds it, every time."""
    for number in range(20):
        key = await bench.make(user_id=300 + number)
        listed = (await list_keys(bench.issuer, ListKeys(user_id=300 + number))).keys
        assert [view.key_id for view in listed] == [key.key_id]
