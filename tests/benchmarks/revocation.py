"""``python -m tests.benchmarks.revocation``: from the click on Revoke to the last refusal anywhere, and to the webhook.

Two verifiers and two programs behind the SDKs are asked all the time for the key that is taken back; the programs,
which remember it, five hundred times a second each.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import click

from tests.chaos.cluster import PROGRAMS
from tests.chaos.scene import Scene, playing, until
from tests.chaos.webhooks import Receiver
from tests.harness.backends import new_folder
from tests.harness.site import Client, Person, bearer

SERVICES: Final = ("auth-api-1", "key-issuer-1", "key-issuer-2", "consent-ui-1")
CHECKS_A_SECOND: Final = {"key-issuer-1": 100, "key-issuer-2": 100} | dict.fromkeys(PROGRAMS, 500)
PERIOD_SECONDS: Final = 0.01
WEBHOOK: Final = "webhook"
BOUND_SECONDS: Final = 5.0
_PATIENCE_SECONDS: Final = 30.0
_REFUSED: Final = 401
_OK: Final = 200


@dataclass(slots=True)
class Watch:
    """One key, looked at from everywhere."""

    token: str
    accepted_at: dict[str, float] = field(default_factory=dict)
    """Of each verifier and program, when the last check was answered that accepted it."""
    refused_at: dict[str, float] = field(default_factory=dict)
    """When the first check after that was answered, with a refusal."""
    unexpected: list[tuple[str, int]] = field(default_factory=list)

    def note(self, target: str, status: int, at: float) -> None:
        """The answer of one check."""
        if status == _OK:
            self.accepted_at[target] = at
            self.refused_at.pop(target, None)
        elif status == _REFUSED:
            self.refused_at.setdefault(target, at)
        else:
            self.unexpected.append((target, status))

    async def until_accepted(self) -> None:
        """Waits until everybody has accepted it."""
        await until(lambda: _is(len(self.accepted_at) == len(CHECKS_A_SECOND)), _PATIENCE_SECONDS)

    async def until_refused(self) -> None:
        """Waits until everybody has refused it."""
        await until(lambda: _is(len(self.refused_at) == len(CHECKS_A_SECOND)), _PATIENCE_SECONDS)


async def _is(so: bool) -> bool:
    return so


@dataclass(slots=True)
class Watchers:
    """Asks for the key that is being looked at, everywhere, all the time."""

    urls: Mapping[str, str]
    watched: Watch
    checks: int = 0
    _pending: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Until cancelled; what is late does not slow what comes next."""
        clock = asyncio.get_running_loop().time
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200)) as http:
            due = clock()
            while True:
                for target, rate in CHECKS_A_SECOND.items():
                    for _ in range(int(rate * PERIOD_SECONDS)):
                        check = asyncio.create_task(self._check(http, target, self.watched))
                        self._pending.add(check)
                        check.add_done_callback(self._pending.discard)
                due += PERIOD_SECONDS
                await asyncio.sleep(max(0.0, due - clock()))

    async def _check(self, http: aiohttp.ClientSession, target: str, watch: Watch) -> None:
        path = "/scores" if target in PROGRAMS else "/api/v1/verify"
        try:
            async with http.get(self.urls[target] + path, headers=bearer(watch.token)) as answer:
                await answer.read()
        except aiohttp.ClientError:
            return  # the measurement is over, or the target away: it accepted nothing
        self.checks += 1
        watch.note(target, answer.status, time.monotonic())


@dataclass(frozen=True, slots=True)
class Measurement:
    """The running scene: a person whose keys of one client are taken back one after the other."""

    scene: Scene
    receiver: Receiver
    person: Person
    client: Client
    watchers: Watchers

    async def new_key(self) -> tuple[str, Watch]:
        """Id of a key that everybody is asked for, and remembers."""
        key = await self.person.give_key(self.client)
        watch = self.watchers.watched = Watch(key["access_token"])
        await watch.until_accepted()
        return key["keyID"], watch

    async def revoke(self) -> dict[str, float]:
        """Takes a key back by a click; of everybody the seconds until the last answer that accepted it."""
        key_id, watch = await self.new_key()
        clicked = time.monotonic()
        answer = await self.person.http.delete(f"/api/v1/keys/{key_id}")
        assert answer.status_code == 204, answer.text
        await watch.until_refused()
        await until(lambda: _is(("key.revoked", key_id) in self.receiver.told), _PATIENCE_SECONDS)
        assert not watch.unexpected, watch.unexpected
        told = self.receiver.told_at["key.revoked", key_id]
        return {target: max(0.0, at - clicked) for target, at in (*watch.refused_at.items(), (WEBHOOK, told))}


@asynccontextmanager
async def measuring(folder: Path) -> AsyncIterator[Measurement]:
    """Two verifiers, two programs and a receiver of webhooks, under the load of checks."""
    receiver = Receiver(random.Random(0), folder, failing=False)
    async with (
        receiver.serving(),
        playing(folder, *SERVICES, environ=receiver.environ, THROTTLE="off") as scene,
    ):
        await scene.cluster.start_programs()
        person = await scene.one.sign_up()
        client = await person.create_client(webhookUri=f"{receiver.url}/measured")
        keys = await person.http.get(f"/api/v1/clients/{client.client_id}/webhook-keys")
        receiver.keys["measured"] = keys.json()["keys"]
        watchers = Watchers(scene.cluster.urls, Watch(""))
        first = await person.give_key(client)
        watchers.watched = Watch(first["access_token"])
        watching = asyncio.create_task(watchers.run())
        try:
            yield Measurement(scene, receiver, person, client, watchers)
        finally:
            watching.cancel()


async def measure(measurement: Measurement, revocations: int) -> dict[str, list[float]]:
    """Of so many revocations, the seconds at each place; ``all`` is the last refusal of each."""
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(revocations):
        taken = await measurement.revoke()
        for place, each in taken.items():
            seconds[place].append(each)
        seconds["all verifiers and SDKs"].append(
            max(each for place, each in taken.items() if place != WEBHOOK)
        )
    return seconds


def percentile(seconds: Sequence[float], hundredth: int) -> float:
    """In seconds."""
    return sorted(seconds)[min(len(seconds) - 1, len(seconds) * hundredth // 100)]


def table(seconds: Mapping[str, Sequence[float]]) -> str:
    """A line for each place."""
    lines = [f"{'from the click to the refusal':<32} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}"]
    lines += [
        f"{place:<32} {percentile(each, 50) * 1000:>8.0f} {percentile(each, 99) * 1000:>8.0f} {max(each) * 1000:>8.0f}"
        for place, each in seconds.items()
    ]
    return "\n".join(lines)


@click.command()
@click.option("--revocations", default=200, show_default=True)
def main(revocations: int) -> None:
    """Measure how long a key that was taken back is accepted: at two verifiers, behind two SDKs, and until a webhook says so."""

    async def run() -> None:
        with tempfile.TemporaryDirectory(prefix="latchkey-bench-") as folder:
            async with measuring(new_folder(Path(folder))) as measurement:
                began, checks = time.monotonic(), measurement.watchers.checks
                seconds = await measure(measurement, revocations)
                rate = (measurement.watchers.checks - checks) / (time.monotonic() - began)
                click.echo(f"{revocations} revocations, {rate:.0f} checks a second meanwhile")
                click.echo(table(seconds))

    asyncio.run(run())


if __name__ == "__main__":
    main()
