"""Somebody whose key is rotated again and again, and who often does not hear the answer."""

from __future__ import annotations

import asyncio
import random
import secrets
from typing import Final

from tests.chaos.history import LOST, History, Operation, Story
from tests.chaos.requests import Requests, key_id_of
from tests.harness.people import Account

_TRIES: Final = 20
_PEACEFUL_TRIES: Final = 5


class Rotor:
    """One holder of one key."""

    def __init__(self, account: Account, requests: Requests, history: History, rng: random.Random) -> None:
        """Has no key yet."""
        self._account = account
        self._requests = requests
        self._history = history
        self._rng = rng
        self._token = ""
        self._born = Story("", 0.0)
        """Where the key came from, so that its end is told there."""
        self._open: tuple[Story, str] | None = None
        """The rotation that has no answer yet, and its Idempotency-Key."""

    async def turn(self) -> None:
        """Rotates once; what is not answered is tried again with the same header, now and in the next turn."""
        if not self._token:
            self._token = await self._requests.create_key(self._account)
            return
        if self._open is None:
            story = Story(f"rotate-{key_id_of(self._token)}", asyncio.get_running_loop().time())
            self._history.stories.append(story)
            self._open = story, secrets.token_hex(8)
        for _ in range(_TRIES):
            if await self._try(self._rng.uniform(0.002, 0.04) if self._rng.random() < 0.5 else None):
                await self._requests.check_everywhere(self._born, self._token)
                return
            await asyncio.sleep(0.3)

    async def settle(self) -> None:
        """In peace: the last rotation is answered, or its holder has no key."""
        for _ in range(_PEACEFUL_TRIES):
            if self._open is None or await self._try(None):
                return
            await asyncio.sleep(1)

    async def _try(self, patience: float | None) -> bool:
        assert self._open is not None
        story, header = self._open
        rotated = await self._requests.rotate(self._account, self._token, header, patience)
        if rotated.status == 409:  # maybe the first try is still under way; in the end that is no answer
            rotated.status, rotated.error = LOST, f"409 {rotated.error}"
        story.operations.append(rotated)
        # For the old key this is its end, whatever was heard of it.
        ended = rotated.status if rotated.token else LOST
        self._born.operations.append(
            Operation("revoke", rotated.target, rotated.began, rotated.ended, ended, token=self._token)
        )
        if not rotated.token:
            return False
        self._born, self._token, self._open = story, rotated.token, None
        return True
