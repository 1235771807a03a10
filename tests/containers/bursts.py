"""Load on a deployment while something happens to it: what every request was answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import httpx

from tests.harness.site import Client, Person, Site

MOST_KEYS = 10
"""One person and client hold no more: older keys go first."""


@dataclass(slots=True)
class Burst:
    """What came of it: answers by kind and status, and the keys that each person was given, oldest first."""

    answers: Counter[str] = field(default_factory=Counter)
    keys: dict[str, list[str]] = field(default_factory=dict)

    @property
    def failures(self) -> dict[str, int]:
        """Every answer that was not 200."""
        return {answer: count for answer, count in self.answers.items() if not answer.endswith(" 200")}

    def failures_of(self, kind: str) -> dict[str, int]:
        """Those of one kind: `consent`, `exchange` or `check`."""
        return {answer: count for answer, count in self.failures.items() if answer.startswith(kind)}

    async def dead_keys(self, site: Site) -> int:
        """How many keys that should be alive are not. A person's last ones are, whatever was lost on the way."""
        recent = [key for keys in self.keys.values() for key in keys[-MOST_KEYS // 2 :]]
        statuses = [(await site.verify(key)).status_code for key in recent]
        return len(statuses) - statuses.count(httpx.codes.OK)


@asynccontextmanager
async def burst(site: Site, *, people: int, each: int = 1, checks: int) -> AsyncIterator[Burst]:
    """As long as the block lasts: `people` times `each` exchange codes for keys, `checks` check a key, all at once."""
    found = Burst()
    stop = asyncio.Event()
    author = await site.sign_up()
    client = await author.create_client()
    checked = str((await author.give_key(client))["access_token"])
    persons = [await site.sign_up() for _ in range(people)]

    async def repeat(work: Callable[[], Awaitable[None]]) -> None:
        while not stop.is_set():
            await work()

    async def check() -> None:
        await _answer(found, "check", lambda: site.verify(checked, "customise_score"))

    tasks = [
        asyncio.create_task(repeat(partial(_exchange, site, client, person, found)))
        for person in persons
        for _ in range(each)
    ]
    tasks += [asyncio.create_task(repeat(check)) for _ in range(checks)]
    try:
        yield found
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def _exchange(site: Site, client: Client, person: Person, found: Burst) -> None:
    """One consent and one exchange."""
    body = {"clientID": client.client_id}
    consent = await _answer(
        found, "consent", lambda: person.http.post("/api/v1/oauth/create-code", json=body)
    )
    if consent is None or consent.status_code != httpx.codes.OK:
        return
    code = consent.json()["code"]
    answer = await _answer(found, "exchange", lambda: site.exchange(client, code))
    if answer is not None and answer.status_code == httpx.codes.OK:
        found.keys.setdefault(person.username, []).append(answer.json()["access_token"])


async def _answer(
    found: Burst, kind: str, ask: Callable[[], Awaitable[httpx.Response]]
) -> httpx.Response | None:
    try:
        answer = await ask()
    except httpx.TransportError as error:
        found.answers[f"{kind} {type(error).__name__}"] += 1
        return None
    found.answers[f"{kind} {answer.status_code}"] += 1
    return answer
