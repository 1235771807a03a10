"""The sender of webhooks: every replica takes what is due, tries it, and records what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import structlog

from services.auth_api.resources import Resources
from services.auth_api.webhooks.attempt import GONE, Outcome, attempt
from services.auth_api.webhooks.endpoints import disable_address
from services.auth_api.webhooks.keys import live_keys
from services.auth_api.webhooks.metrics import MOST_COUNTED, WebhookMetrics
from services.auth_api.webhooks.retries import next_try_on
from services.auth_api.webhooks.taking import MOST_TURNS, Taken, Turn, take_turns
from shared.contracts.clients import DisabledWhy
from shared.errors import StoreUnavailable
from shared.failpoints import ARMED, failpoint
from shared.supervisor import watched
from shared.web.guarded_fetcher import GuardedFetcher

if TYPE_CHECKING:
    from services.auth_api.db.repository import Connection

POLL_SECONDS: Final = 1.0
"""How often a process looks for what others recorded, and for what is due again."""
HOUSE_SECONDS: Final = 20.0
SLOW_SECONDS: Final = 2.0
"""An endpoint whose turn took longer counts as slow for a while and until a turn is quick; so does one that is new."""
SLOW_MS: Final = 600_000
FAILING_MS: Final = 5 * 86_400_000
"""After so long without a single success an address is disabled."""
DELIVERY_DAYS: Final = 30
"""For how long finished deliveries are kept."""
NEWEST_KEPT: Final = 1_000
"""Finished deliveries of one client that are kept."""
TRIMMED_AT_ONCE: Final = 5_000
"""Of each client in one statement."""
STOP_SECONDS: Final = 3.0
MOST_AT_DATABASE: Final = 2
"""Connections to PostgreSQL that turns may hold: the others of this process are for requests."""

_log = structlog.get_logger("latchkey.webhooks")


class WebhookSender:
    """Sends what waits, for ever; several processes share it. One endpoint that fails or is slow slows none of the others.

    A try whose process dies is tried again by another when its lease ends. Nothing of an answer is kept but its status.
    """

    def __init__(self, resources: Resources, fetcher: GuardedFetcher) -> None:
        """``fetcher`` calls the addresses; the caller closes it after ``run`` has ended."""
        self._resources = resources
        self._fetcher = fetcher
        self._metrics = WebhookMetrics(resources.metrics)
        self._turns: dict[str, Turn] = {}
        """By client: there is one turn of a client at a time."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._house_at = float("-inf")
        self._at_database = asyncio.Semaphore(MOST_AT_DATABASE)

    async def run(self) -> None:
        """Sends until cancelled; raises ``StoreUnavailable`` while PostgreSQL is away (a supervisor starts it again).

        What runs at the end is given up, and given back to be tried at once by another process.
        """
        try:
            while True:
                begun = await self.begin_turns() if len(self._turns) < MOST_TURNS else 0
                await self._keep_house()
                if not begun:
                    await self._resources.deliveries.wait(POLL_SECONDS)
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=STOP_SECONDS)

    async def begin_turns(self) -> int:
        """Takes what is due and there is room for, and begins to send it; how many clients got a turn."""
        turns = await take_turns(self._resources, self._turns)
        self.begin(turns)
        return len(turns)

    def begin(self, turns: Sequence[Turn]) -> None:
        """Begins to send what was taken."""
        for turn in turns:
            self._turns[turn.client_id] = turn
            task = watched(self._run_turn(turn), "webhooks")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Returns when every turn that has begun is over."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _run_turn(self, turn: Turn) -> None:
        try:
            await self._send_all(turn)
        except StoreUnavailable as error:
            # What it took is due again when the lease ends; a receiver knows what it has heard by its id.
            _log.warning("webhooks_not_recorded", client_id=turn.client_id, reason=str(error))
        finally:
            del self._turns[turn.client_id]
            self._resources.deliveries.kick()

    async def _send_all(self, turn: Turn) -> None:
        outcomes: dict[str, Outcome] = {}
        try:
            async with self._at_database:
                keys = await live_keys(self._resources, turn.client_id)

            async def send(delivery: Taken) -> None:
                outcomes[delivery.webhook_id] = await attempt(
                    self._fetcher,
                    self._resources.clock,
                    turn.address,
                    delivery.webhook_id,
                    delivery.body,
                    keys,
                )

            async with asyncio.TaskGroup() as group:
                for delivery in turn.deliveries:
                    group.create_task(send(delivery))
            if ARMED:
                await failpoint("webhooks.after_tries_before_record")
        finally:
            async with self._at_database:
                await self._record(turn, outcomes)

    async def _record(self, turn: Turn, outcomes: dict[str, Outcome]) -> None:
        """Writes what came of each; what was not tried to its end is due at once, as if it had not been taken."""
        database, now = self._resources.database, self._resources.clock.now()
        results = [self._result_of(each, outcomes.get(each.webhook_id), now) for each in turn.deliveries]
        async with database.transaction() as connection:
            sql = database.sql
            why = await self._judge(connection, turn, tuple(outcomes.values()), now)
            ids, *others = map(list, zip(*results, strict=True))
            rows = await connection.fetch(sql["record_webhook_tries"], ids, turn.lease, *others)
            if why is not None:
                await disable_address(self._resources, connection, turn.client_id, why, turn.changed_on)
            await connection.execute(sql["move_webhook_endpoints"], [turn.client_id], now)
        self._count(turn, outcomes, results, {row["webhook_id"] for row in rows})

    async def _judge(
        self, connection: Connection, turn: Turn, outcomes: Sequence[Outcome], now: int
    ) -> DisabledWhy | None:
        """Notes how the address fares; why it is to be disabled, if it is.

        It holds the endpoint's row, which comes before those of its deliveries, here as everywhere.
        """
        slow_until, failing = None, None
        if outcomes:
            slow = max(outcome.seconds for outcome in outcomes) > SLOW_SECONDS
            slow_until = now + SLOW_MS if slow else 0
            failing = not any(outcome.delivered for outcome in outcomes)
        query = self._resources.database.sql["judge_webhook_endpoint"]
        failing_since = await connection.fetchval(
            query, turn.client_id, turn.changed_on, slow_until, failing, now
        )
        if any(outcome.status == GONE for outcome in outcomes):
            return "gone"
        too_long = failing and failing_since is not None and now - failing_since >= FAILING_MS
        return "failing" if too_long else None

    def _result_of(self, delivery: Taken, outcome: Outcome | None, now: int) -> _Result:
        if outcome is None:
            return _Result(delivery.webhook_id, "waiting", now, None, 0, None, None, None)
        on, status, failure = outcome.tried_on, outcome.status, outcome.failure
        if outcome.delivered:
            return _Result(delivery.webhook_id, "delivered", None, on, 1, on, status, None)
        pauses = self._resources.settings.webhook_retry_seconds
        due_on = next_try_on(on, delivery.tries + 1, pauses, outcome.retry_after)
        if status == GONE or due_on is None:
            return _Result(delivery.webhook_id, "failed", None, on, 1, on, status, failure)
        return _Result(delivery.webhook_id, "waiting", due_on, None, 1, on, status, failure)

    def _count(
        self, turn: Turn, outcomes: dict[str, Outcome], results: Sequence[_Result], kept: set[str]
    ) -> None:
        for outcome in outcomes.values():
            self._metrics.tries.labels(outcome.result).inc()
        queued = {each.webhook_id: each.queued_on for each in turn.deliveries}
        for result in results:
            if result.webhook_id not in kept or result.ended_on is None:
                continue
            self._resources.deliveries.count_ended(result.status, [turn.client_id])
            if result.status == "delivered":
                seconds = (result.ended_on - queued[result.webhook_id]) / 1000
                self._metrics.seconds.observe(max(0.0, seconds))

    async def _keep_house(self) -> None:
        """Now and then measures what waits, and deletes old deliveries of clients that had many."""
        if (now := self._resources.clock.monotonic()) < self._house_at:
            return
        self._house_at = now + HOUSE_SECONDS
        wall = self._resources.clock.now()
        row = await self._resources.database.fetchrow("measure_webhooks", MOST_COUNTED)
        assert row is not None
        self._metrics.measure(row, wall)
        await self._trim()

    async def _trim(self) -> None:
        deliveries = self._resources.deliveries
        grown, deliveries.grown = list(deliveries.grown), set()
        while grown:
            status = await self._resources.database.execute(
                "trim_webhook_deliveries", grown, NEWEST_KEPT, TRIMMED_AT_ONCE
            )
            if int(status.rpartition(" ")[2]) < TRIMMED_AT_ONCE:
                break


class _Result(NamedTuple):
    """What is written of a delivery that was tried, in the order of ``record_webhook_tries``."""

    webhook_id: str
    status: Literal["waiting", "delivered", "failed"]
    due_on: int | None
    ended_on: int | None
    tried: int
    tried_on: int | None
    last_status: int | None
    last_failure: str | None
