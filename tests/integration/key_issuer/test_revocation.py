"""Ending keys: by their owner, their client, a replay, a withdrawn consent; once, and also those still on their way."""

from __future__ import annotations

import asyncio

import pytest

from services.key_issuer.revocation import end_leaked, revoke_code, revoke_grant, revoke_key, revoke_token
from shared.api_key import SECRET_LENGTH, assemble_key
from shared.contracts.keys import KeysRevoked, RevokeCode, RevokeGrant, RevokeKey, RevokeToken
from tests.integration.key_issuer.conftest import URL, Bench, command, mint, open_bench

BINDING = {"challenge": "c" * 43, "redirect": "r" * 64}


async def test_a_revocation_is_a_status_an_epoch_an_event_and_a_line(bench: Bench) -> None:
    """All in one transaction; again changes nothing."""
    key = await bench.make()
    order = RevokeKey(key_id=key.key_id, user_id=2, reason="owner")
    assert await revoke_key(bench.issuer, order) == KeysRevoked(found=1, revoked=(key.key_id,))
    assert await revoke_key(bench.issuer, order) == KeysRevoked(found=1, revoked=())
    row = (await bench.sql("SELECT status, epoch, end_reason, ended_on FROM api_keys"))[0]
    assert (row["status"], row["epoch"], row["end_reason"]) == ("revoked", 1, "owner")
    assert await bench.audit(key.key_id) == ["issued", "revoked"]
    assert len(await bench.told("keys.narrowed")) == 1


async def test_a_key_of_somebody_else_is_not_found(bench: Bench) -> None:
    """And stays alive."""
    key = await bench.make()
    for order in (
        RevokeKey(key_id=key.key_id, user_id=3, reason="owner"),
        RevokeKey(key_id="x" * 16, user_id=2, reason="owner"),
    ):
        assert await revoke_key(bench.issuer, order) == KeysRevoked(found=0, revoked=())
    assert await bench.status(key.key_id) == "active"


@pytest.mark.spec("RFC 7009", "2.1", "A key of another client is not revoked")
@pytest.mark.parametrize(
    ("field", "wrong"), [("client_id", "CY"), ("digest", "0" * 64), ("key_id", "x" * 16)]
)
async def test_a_client_revokes_its_own_keys_only(bench: Bench, field: str, wrong: str) -> None:
    """RFC 7009 §2.1: by the key itself, and only if it was issued to that client."""
    key = await bench.make()
    order = RevokeToken(key_id=key.key_id, digest=key.digest, client_id="CXFervidex")
    assert (await revoke_token(bench.issuer, order.model_copy(update={field: wrong}))).found == 0
    assert await bench.status(key.key_id) == "active"
    assert (await revoke_token(bench.issuer, order)).revoked == (key.key_id,)


async def test_who_does_not_know_a_key_waits_for_no_row_of_it(bench: Bench) -> None:
    """Ids are public: a wrong secret is found out while another transaction holds the row, and takes no lock."""
    key = await bench.make()
    forged = assemble_key("lk", "u", URL, key_id=key.key_id, secret="0" * SECRET_LENGTH)
    order = RevokeToken(key_id=key.key_id, digest=key.digest, client_id="CXFervidex")
    async with bench.issuer.database.transaction() as connection, asyncio.timeout(5):
        await connection.execute("SELECT FROM api_keys WHERE key_id = $1 FOR UPDATE", key.key_id)
        assert not await end_leaked(bench.issuer, [forged.token])
        for wrong in ({"digest": forged.digest}, {"client_id": "CY"}):
            assert (await revoke_token(bench.issuer, order.model_copy(update=wrong))).found == 0
    assert await bench.status(key.key_id) == "active"
    assert await end_leaked(bench.issuer, [key.token])
    assert await bench.status(key.key_id) == "revoked:leak_reported"


async def test_a_replayed_code_ends_its_key(bench: Bench) -> None:
    """Also where Redis has forgotten whose code it was; never through another client's hands."""
    first, second = command(mint()), command(mint())
    await bench.issue(first, second)
    assert first.code_digest is not None
    assert second.code_digest is not None
    foreign = RevokeCode(code_digest=first.code_digest, client_id="CY", user_id=2)
    assert (await revoke_code(bench.issuer, foreign)).found == 0
    assert await bench.status(first.key_id) == "active"
    known = RevokeCode(code_digest=first.code_digest, client_id="CXFervidex", user_id=2)
    assert (await revoke_code(bench.issuer, known)).revoked == (first.key_id,)
    assert (await revoke_code(bench.issuer, known)) == KeysRevoked(found=1, revoked=())
    forgotten = RevokeCode(code_digest=second.code_digest, client_id="CXFervidex", user_id=None)
    assert (await revoke_code(bench.issuer, forgotten)).revoked == (second.key_id,)


@pytest.mark.parametrize(
    ("row", "given", "found"),
    [
        (BINDING, BINDING, 1),
        (BINDING, {"challenge": BINDING["challenge"]}, 1),
        (BINDING, {**BINDING, "challenge": "other"}, 0),
        (BINDING, {**BINDING, "redirect": "other"}, 0),
        (BINDING, {**BINDING, "challenge": ""}, 0),
        (BINDING, {**BINDING, "resource": "more"}, 0),
        (None, {**BINDING, "challenge": ""}, 1),
        (None, BINDING, 0),
        (None, {"redirect": "r"}, 0),
        (BINDING, None, 1),
    ],
)
async def test_a_code_that_redis_forgot_is_replayed_only_by_whom_it_was_bound_to(
    bench: Bench, row: dict[str, str] | None, given: dict[str, str] | None, found: int
) -> None:
    """RFC 7636 §4.6: without the verifier the key does not end; a row of an earlier release counts without PKCE only."""
    order = command(mint(), binding=row)
    assert order.code_digest is not None
    await bench.issue(order)
    replay = RevokeCode(code_digest=order.code_digest, client_id="CXFervidex", user_id=None, binding=given)
    assert (await revoke_code(bench.issuer, replay)).found == found
    assert await bench.status(order.key_id) == ("revoked:code_replayed" if found else "active")
    assert await bench.sql("SELECT FROM replayed_codes") == []


async def test_an_unknown_code_without_a_person_leaves_no_mark(bench: Bench) -> None:
    """Only a committed row counts then: nobody can fill the table with marks."""
    unknown = RevokeCode(code_digest="a" * 64, client_id="CXFervidex", user_id=None)
    assert (await revoke_code(bench.issuer, unknown)).found == 0
    assert await bench.sql("SELECT FROM replayed_codes") == []


async def test_a_grant_ends_with_all_its_keys_up_to_a_time(bench: Bench) -> None:
    """A consent given later is another one."""
    now = bench.clock.now()
    old = [(await bench.make(consented_on=now - 10)).key_id for _ in range(3)]
    new = await bench.make(consented_on=now + 10)
    other = await bench.make(client_id="CY", consented_on=now - 10)
    own = await bench.make(client_id=None, code_digest=None, consented_on=now - 10)
    order = RevokeGrant(user_id=2, client_id="CXFervidex", before=now, reason="app_disconnected")
    assert set((await revoke_grant(bench.issuer, order)).revoked) == set(old)
    assert (await revoke_grant(bench.issuer, order)).found == 0
    for key in (new, other, own):
        assert await bench.status(key.key_id) == "active"


async def test_a_grant_with_many_expired_keys_is_told_of_in_parts(bench: Bench) -> None:
    """No message outgrows the bus, however many keys one grant has seen."""
    now = bench.clock.now()
    for _ in range(11):
        await bench.issue(*(command(mint(), consented_on=now) for _ in range(100)))
        await bench.sql(
            "UPDATE api_keys SET status = 'active', ended_on = NULL, end_reason = NULL, expires_on = 1"
        )
    order = RevokeGrant(user_id=2, client_id="CXFervidex", before=now, reason="app_disconnected")
    await bench.sql("DELETE FROM audit WHERE event = 'revoked'")
    outcome = await revoke_grant(bench.issuer, order)
    assert outcome.found == 1100
    assert len(await bench.told("keys.narrowed")) >= 3
    assert all(len(body) < 32 * 1024 for body in await bench.told("keys.narrowed"))


async def test_a_disabled_person_loses_every_key(bench: Bench) -> None:
    """Those of all clients and the person's own, in chunks, with their events."""
    now = bench.clock.now()
    keys = [command(mint(), client_id=f"C{number % 120}", consented_on=now) for number in range(1200)]
    await bench.issue(*keys)
    await bench.make(user_id=3, consented_on=now)
    order = RevokeGrant(user_id=2, client_id=None, before=now, reason="user_disabled")
    outcome = await revoke_grant(bench.issuer, order)
    assert outcome.found == 1200
    rows = await bench.sql("SELECT user_id, status, count(*) FROM api_keys GROUP BY 1, 2 ORDER BY 1, 2")
    assert [tuple(row) for row in rows] == [(2, "revoked", 1200), (3, "active", 1)]
    assert all(len(body) < 64 * 1024 for body in await bench.told("keys.narrowed"))


async def test_a_deleted_client_loses_every_key(bench: Bench) -> None:
    """Of all people, and of nobody else's client."""
    now = bench.clock.now()
    await bench.issue(*(command(mint(), user_id=user, consented_on=now) for user in range(1, 51)))
    other = await bench.make(client_id="CY", consented_on=now)
    order = RevokeGrant(user_id=None, client_id="CXFervidex", before=now, reason="client_deleted")
    assert (await revoke_grant(bench.issuer, order)).found == 50
    assert await bench.status(other.key_id) == "active"


@pytest.mark.parametrize(
    "whose", [{"user_id": 2, "client_id": None}, {"user_id": None, "client_id": "CXFervidex"}]
)
async def test_a_withdrawal_waits_for_the_issues_that_run(bench: Bench, whose: dict[str, object]) -> None:
    """A key whose transaction was open when the person was disabled does not survive it."""
    now = bench.clock.now()
    order = command(mint(), consented_on=now)
    grant = RevokeGrant.model_validate({"before": now, "reason": "user_disabled", **whose})
    async with bench.issuer.database.transaction() as connection:
        sql = bench.issuer.database.sql
        await connection.fetch(sql["lock_holdings"], [2], ["CXFervidex"], [1])
        withdrawing = asyncio.create_task(revoke_grant(bench.issuer, grant))
        await _waiting(bench, "locktype = 'advisory'")
        await connection.execute(
            "INSERT INTO api_keys (key_id, digest, pepper_version, user_id, username, client_id, identifier,"
            " permissions, origin, consented_on, created_on)"
            " VALUES ($1, $2, 1, 2, 'b', 'CXFervidex', 'x', '{p}', 'code', $3, $3)",
            order.key_id,
            b"d" * 32,
            now,
        )
        assert not withdrawing.done()
    assert (await withdrawing).revoked == (order.key_id,)


@pytest.mark.parametrize("whose", [("void_people", [2]), ("void_client", "CXFervidex")])
async def test_an_issue_that_waited_for_a_withdrawal_sees_it(bench: Bench, whose: tuple[str, object]) -> None:
    """What was withdrawn while it waited for its turn gives no key, although its statement had begun before."""
    now = bench.clock.now()
    sql = bench.issuer.database.sql
    async with bench.issuer.database.transaction() as connection:
        await connection.execute(sql["await_running_issues"])
        issuing = asyncio.create_task(bench.issue(command(mint(), consented_on=now)))
        await _waiting(bench, "locktype = 'advisory'")
        query, who = whose
        await connection.execute(sql[query], who, now)
        assert not issuing.done()
    (reply,) = await issuing
    assert reply.outcome == "consent_withdrawn"
    assert await bench.sql("SELECT FROM api_keys") == []


async def test_an_issue_that_waited_for_a_replay_sees_it(bench: Bench) -> None:
    """The code came back while the issue waited for the grant: the key is born dead."""
    order = command(mint())
    assert order.code_digest is not None
    sql = bench.issuer.database.sql
    async with bench.issuer.database.transaction() as connection:
        await connection.execute(sql["void_holding"], 2, "CXFervidex", 0)
        issuing = asyncio.create_task(bench.issue(order))
        await _waiting(bench, "locktype = 'transactionid'")
        await connection.execute(
            sql["mark_replayed_code"], bytes.fromhex(order.code_digest), bench.clock.now()
        )
        assert not issuing.done()
    (reply,) = await issuing
    assert reply.outcome == "code_already_used"
    assert await bench.status(order.key_id) == "revoked:code_replayed"


async def _waiting(bench: Bench, lock: str) -> None:
    """Until somebody waits for such a lock."""
    async with asyncio.timeout(5):
        while not await bench.sql(f"SELECT FROM pg_locks WHERE {lock} AND NOT granted"):
            await asyncio.sleep(0.01)


async def test_issuing_and_withdrawing_race_without_a_survivor(bench: Bench) -> None:
    """Whatever comes first: afterwards no key of a withdrawn consent is alive."""
    async with open_bench(bench.url) as other:
        for round_ in range(15):
            user = 100 + round_
            now = bench.clock.now()
            orders = [
                command(mint(), user_id=user, consented_on=now, client_id=f"C{n % 3}") for n in range(6)
            ]
            grant = {
                0: RevokeGrant(user_id=user, client_id="C1", before=now, reason="app_disconnected"),
                1: RevokeGrant(user_id=user, client_id=None, before=now, reason="user_disabled"),
                2: RevokeGrant(user_id=None, client_id="C1", before=now, reason="client_deleted"),
            }[round_ % 3]
            await asyncio.gather(
                *(bench.issue(order) for order in orders),
                revoke_grant(other.issuer, grant),
                *(other.issue(order) for order in orders),
            )
            rows = await bench.sql("SELECT client_id, status FROM api_keys WHERE user_id = $1", user)
            alive = {row["client_id"] for row in rows if row["status"] == "active"}
            assert alive <= ({"C0", "C2"} if round_ % 3 != 1 else set())


async def test_issuing_and_replaying_race_without_a_survivor(bench: Bench) -> None:
    """The losers of a race are replays: the one key ends revoked, in whichever order they arrive."""
    async with open_bench(bench.url) as other:
        for _ in range(20):
            order = command(mint())
            assert order.code_digest is not None
            assert order.client_id is not None
            replay = RevokeCode(
                code_digest=order.code_digest, client_id=order.client_id, user_id=order.user_id
            )
            await asyncio.gather(bench.issue(order), *(revoke_code(other.issuer, replay) for _ in range(5)))
            assert await bench.status(order.key_id) == "revoked:code_replayed"
            assert await bench.audit(order.key_id) == ["issued", "revoked"]


async def test_every_way_to_end_a_key_at_once_ends_it_once(bench: Bench) -> None:
    """One audit line and one event, whoever was first; nobody waits in a circle."""
    now = bench.clock.now()
    keys = [await bench.make(consented_on=now) for _ in range(8)]
    async with open_bench(bench.url) as other:
        await asyncio.gather(
            *(
                revoke_key(replica.issuer, RevokeKey(key_id=key.key_id, user_id=2, reason="owner"))
                for replica in (bench, other)
                for key in keys
            ),
            revoke_grant(
                other.issuer,
                RevokeGrant(user_id=2, client_id="CXFervidex", before=now, reason="app_disconnected"),
            ),
            revoke_grant(
                bench.issuer, RevokeGrant(user_id=2, client_id=None, before=now, reason="user_disabled")
            ),
            *(bench.issue(command(mint(), consented_on=now - 1)) for _ in range(5)),
        )
    rows = await bench.sql("SELECT count(*) FROM api_keys WHERE status <> 'revoked'")
    assert rows[0]["count"] == 0
    for key in keys:
        assert await bench.audit(key.key_id) == ["issued", "revoked"]
