"""Giving codes back after an exchange that ended in 503: at once where Redis answers, else as soon as it does."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from services.auth_api.codes.store import CodeStore, RedeemAttempt
from shared.errors import BusUnavailable, StoreUnavailable

RETRY_SECONDS: Final = 0.1
LONGEST_SECONDS: Final = 600.0
"""No code lives longer."""

_log = structlog.get_logger("latchkey.release")


class CodeReleaser:
    """The codes that this process spent for nothing and still has to give back."""

    def __init__(self, codes: CodeStore) -> None:
        """Nothing runs before the first ``begin``."""
        self._codes = codes
        self.running: dict[str, asyncio.Task[None]] = {}
        """By the code's digest."""

    def begin(self, attempt: RedeemAttempt) -> asyncio.Task[None]:
        """Starts giving a code back. Cancelling whoever waits for the task does not end it."""
        digest = attempt.code_digest
        task = asyncio.create_task(self._until_released(attempt), name=f"release-{attempt.message_id}")
        self.running[digest] = task
        task.add_done_callback(lambda done: self._forget(digest, done))
        return task

    async def settled(self, digest: str, seconds: float) -> None:
        """Waits for a code that is being given back, so that its next redeem finds it whole.

        Raises:
            BusUnavailable: it is not given back yet; whoever took it for spent now would take the retry for a replay.
        """
        task = self.running.get(digest)
        if task is not None:
            _, unfinished = await asyncio.wait({task}, timeout=seconds)
            if unfinished:
                raise BusUnavailable("releasing")

    async def stop(self) -> None:
        """Gives what is left a last second."""
        tasks = set(self.running.values())
        if tasks:
            _, unfinished = await asyncio.wait(tasks, timeout=1.0)
            for task in unfinished:
                task.cancel()

    async def _until_released(self, attempt: RedeemAttempt) -> None:
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                while True:
                    try:
                        await self._codes.release(attempt)
                    except StoreUnavailable:
                        await asyncio.sleep(RETRY_SECONDS)
                    else:
                        return
        except TimeoutError:
            _log.warning("code_not_released", key_id=attempt.key_id)

    def _forget(self, digest: str, task: asyncio.Task[None]) -> None:
        if self.running.get(digest) is task:
            del self.running[digest]
