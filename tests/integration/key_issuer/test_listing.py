"""What a person sees of keys."""

from __future__ import annotations

from services.key_issuer.listing import ENDED_SHOWN_MS, MOST_LISTED, list_keys, summarize_usage
from services.key_issuer.revocation import abandon_keys, revoke_key
from shared.contracts.keys import AbandonKey, KeyView, ListKeys, RevokeKey, SummarizeUsage
from tests.integration.key_issuer.conftest import Bench, command, mint


async def listed(bench: Bench, user_id: int = 2) -> list[KeyView]:
    """The person's list."""
    return list((await list_keys(bench.issuer, ListKeys(user_id=user_id))).keys)


async def test_keys_are_listed_newest_first_from_their_commit_on(bench: Bench) -> None:
    """Of that person only; a key whose 200 was sent is in the very next list."""
    keys = [await bench.make(client_id=f"C{number}") for number in range(3)]
    await bench.make(user_id=3)
    assert [view.key_id for view in await listed(bench)] == [key.key_id for key in reversed(keys)]


async def test_ended_keys_are_listed_for_thirty_days(bench: Bench) -> None:
    """With the word that tells how they ended; not those that never reached a program."""
    live, ended, expired = [await bench.make() for _ in range(3)]
    lost = command(mint())
    await bench.issue(lost)
    await revoke_key(bench.issuer, RevokeKey(key_id=ended.key_id, user_id=2, reason="owner"))
    await abandon_keys(bench.issuer, [AbandonKey(key_id=lost.key_id, code_digest=lost.code_digest or "")])
    await bench.sql(
        "UPDATE api_keys SET expires_on = $2 WHERE key_id = $1", expired.key_id, bench.clock.now()
    )
    statuses = {view.key_id: view.status for view in await listed(bench)}
    assert statuses == {live.key_id: "active", ended.key_id: "revoked", expired.key_id: "expired"}
    bench.clock.ahead_ms = ENDED_SHOWN_MS + 5000
    assert [view.key_id for view in await listed(bench)] == [live.key_id]


async def test_at_most_two_hundred_are_listed_and_live_ones_come_before_ended_ones(bench: Bench) -> None:
    """A key that can still be used can always be taken back."""
    old = await bench.make(client_id="Old")
    keys = [mint() for _ in range(250)]
    await bench.issue(*(command(key) for key in keys))
    views = await listed(bench)
    assert len(views) == MOST_LISTED
    assert [view.key_id for view in views[:10]] == [key.key_id for key in reversed(keys[-10:])]
    assert views[-1].key_id == old.key_id


async def test_pages_list_every_key_once(bench: Bench) -> None:
    """Newest first over all pages, ended ones in their place; a key that is made meanwhile is on no later page."""
    old = await bench.make(user_id=2, client_id="Old")
    keys = [mint() for _ in range(250)]  # of which the newest ten live
    await bench.issue(*(command(key) for key in keys))
    await bench.sql("UPDATE api_keys SET end_reason = 'abandoned' WHERE key_id = $1", keys[5].key_id)
    expected = [key.key_id for key in reversed([old, *keys]) if key is not keys[5]]
    first = await list_keys(bench.issuer, ListKeys(user_id=2, after=""))
    await bench.make()
    second = await list_keys(bench.issuer, ListKeys(user_id=2, after=first.keys[-1].key_id))
    assert (len(first.keys), first.more, len(second.keys), second.more) == (MOST_LISTED, True, 50, False)
    assert [key.key_id for key in (*first.keys, *second.keys)] == expected
    assert {key.status for key in second.keys[:-1]} == {"revoked"}
    last = await list_keys(bench.issuer, ListKeys(user_id=2, after=second.keys[-1].key_id))
    assert (last.keys, last.more, last.found) == ((), False, True)


async def test_a_page_that_ends_with_the_list_has_none_after_it(bench: Bench) -> None:
    """And no page follows a key of somebody else."""
    await bench.issue(*(command(mint(), client_id=f"C{number // 10}") for number in range(MOST_LISTED)))
    page = await list_keys(bench.issuer, ListKeys(user_id=2, after=""))
    assert (len(page.keys), page.more) == (MOST_LISTED, False)
    foreign = await list_keys(bench.issuer, ListKeys(user_id=3, after=page.keys[0].key_id))
    assert (foreign.keys, foreign.found) == ((), False)


async def test_usage_is_summed_up_per_client(bench: Bench) -> None:
    """Live and paused keys count; a person's own are no client's."""
    await bench.make(permissions=("a", "b"))
    second = await bench.make(permissions=("b", "c"))
    await bench.make(client_id="CY", permissions=("a",))
    ended = await bench.make(client_id="CZ")
    await bench.make(client_id=None, code_digest=None)
    await revoke_key(bench.issuer, RevokeKey(key_id=ended.key_id, user_id=2, reason="owner"))
    await bench.sql(
        "UPDATE api_keys SET status = 'paused', last_used_on = 77 WHERE key_id = $1", second.key_id
    )
    summary = {
        usage.client_id: usage
        for usage in (await summarize_usage(bench.issuer, SummarizeUsage(user_id=2))).clients
    }
    assert set(summary) == {"CXFervidex", "CY"}
    assert summary["CXFervidex"].keys == 2
    assert summary["CXFervidex"].permissions == ("a", "b", "c")
    assert summary["CXFervidex"].last_used_on == 77
    assert summary["CY"].last_used_on is None
