"""What one account can make Redis keep by signing in: the newest sessions, the newest familiar peers, and no more."""

from __future__ import annotations

import asyncio

from services.auth_api.accounts.service import MOST_FAMILIAR, Account, sign_in
from services.auth_api.sessions.service import MOST_SESSIONS, end_session, read_session, start_session
from shared.secret_tokens import digest_of
from tests.harness.site import PASSWORD
from tests.integration.auth_api.conftest import Registry, RegistryStarter


async def account_of(registry: Registry) -> Account:
    """A new account, whose browser keeps no session of its own."""
    person = await registry.site.sign_up()
    await person.http.delete("/api/v1/session")
    return Account(person.user_id, person.username, 0)


async def live(registry: Registry, sessions: list[str]) -> list[bool]:
    """Which of these sessions are good."""
    found = await asyncio.gather(
        *(read_session(registry.resources, digest_of(session)) for session in sessions)
    )
    return [user is not None for user in found]


async def test_the_oldest_session_goes_when_there_are_too_many(registry: Registry) -> None:
    """An account keeps its newest sessions; the list of them is as short as they are few."""
    account = await account_of(registry)
    sessions = [await start_session(registry.resources, account) for _ in range(MOST_SESSIONS + 5)]
    assert await live(registry, sessions) == [False] * 5 + [True] * MOST_SESSIONS
    redis = registry.resources.bus.redis
    names = await redis.execute("KEYS", f"lk:sessions:{account.user_id}")
    assert len(names) == 1
    assert await redis.execute("LLEN", names[0]) == MOST_SESSIONS
    assert await redis.execute("MEMORY", "USAGE", names[0]) < 4096
    assert await redis.execute("TTL", names[0]) > 0


async def test_sessions_that_have_ended_cost_no_live_one_its_place(registry: Registry) -> None:
    """Signing in and out every day does not end the session of another browser."""
    account = await account_of(registry)
    kept = await start_session(registry.resources, account)
    for _ in range(2 * MOST_SESSIONS):
        session = await start_session(registry.resources, account)
        await end_session(registry.resources, digest_of(session))
    replaced = None
    for _ in range(2 * MOST_SESSIONS):
        replaced = await start_session(registry.resources, account, replaced)
    assert await live(registry, [kept, replaced or ""]) == [True, True]


async def test_sign_ins_at_once_leave_no_more_than_the_most(registry: Registry) -> None:
    """Whatever order they come in, and whichever of them sees the others."""
    account = await account_of(registry)
    sessions = await asyncio.gather(
        *(start_session(registry.resources, account) for _ in range(3 * MOST_SESSIONS))
    )
    assert sum(await live(registry, list(sessions))) <= MOST_SESSIONS
    newest = await start_session(registry.resources, account)
    assert await live(registry, [newest]) == [True]
    redis = registry.resources.bus.redis
    assert await redis.execute("LLEN", f"lk:sessions:{account.user_id}") <= MOST_SESSIONS


async def test_a_sign_in_that_dies_half_way_leaves_nothing_for_long(registry: Registry) -> None:
    """A session that is on no list lives a minute: nobody was given it."""
    account = await account_of(registry)
    redis = registry.resources.bus.redis
    before = set(await redis.execute("KEYS", "lk:session:*"))
    await redis.execute("SET", f"lk:sessions:{account.user_id}", "no list")
    outcome = await asyncio.gather(start_session(registry.resources, account), return_exceptions=True)
    assert isinstance(outcome[0], Exception)
    left = set(await redis.execute("KEYS", "lk:session:*")) - before
    assert all([0 < await redis.execute("TTL", name) <= 60 for name in left])


async def test_familiar_peers_are_few(start_registry: RegistryStarter) -> None:
    """Somebody with many addresses and one right password makes us remember the newest of them."""
    async with start_registry() as registry:
        person = await registry.site.sign_up()
        redis = registry.resources.bus.redis

        async def kept() -> int:
            return sum(
                [
                    await redis.execute("MEMORY", "USAGE", name)
                    for name in await redis.execute("KEYS", "lk:familiar*")
                ]
            )

        sizes = []
        for peers in (range(MOST_FAMILIAR), range(MOST_FAMILIAR, 3 * MOST_FAMILIAR)):
            for number in peers:
                peer = f"2001:db8::{number:x}"
                assert await sign_in(registry.resources, person.username, PASSWORD, peer) is not None
            sizes.append(await kept())
    assert sizes[1] <= sizes[0] * 1.1
    assert sizes[1] < 8192
