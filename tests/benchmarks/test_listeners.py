"""What a thousand listeners of the stream of revocations cost a process: memory, and a share of a core."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Final

import pytest

from tests.benchmarks.cpu import seconds_of
from tests.benchmarks.rig import Rig, running_rig
from tests.harness.processes import command
from tests.harness.site import Person, Site

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(300)]

LISTENERS: Final = 1_000
AT_ONCE: Final = 50
SECONDS: Final = 10.0
REVOCATIONS: Final = 40
MOST_MB: Final = 60
MOST_SHARE: Final = 0.1


class Crowd:
    """All listeners; each looks only for the key that is revoked just now."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.awaited = b""
        self.missing = 0
        self.all_heard = asyncio.Event()

    async def expect(self, key_id: str) -> None:
        """From now on every listener looks for this key."""
        self.awaited, self.missing = key_id.encode(), len(self.members)
        self.all_heard.clear()


class Member(asyncio.Protocol):
    """One listener."""

    def __init__(self, crowd: Crowd, request: bytes) -> None:
        self._crowd = crowd
        self._request = request
        self._tail = b""
        self._heard = b""
        self.first = asyncio.get_running_loop().create_future()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Takes note of the key that is looked for."""
        self._tail = (self._tail + data)[-2_000:]
        if not self.first.done() and b"event: reset" in self._tail:
            self.first.set_result(None)
        crowd = self._crowd
        if crowd.missing and self._heard != crowd.awaited and crowd.awaited in self._tail:
            self._heard = crowd.awaited
            crowd.missing -= 1
            if not crowd.missing:
                crowd.all_heard.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Must not happen."""
        self.lost = True


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """Everything that is measured, running."""
    with running_rig() as running:
        yield running


def spent(rig: Rig) -> float:
    """Seconds of processor time of key_issuer."""
    return seconds_of({"key-issuer": [rig.services.processes["key-issuer"].pid]})["key-issuer"]


async def share_of(rig: Rig) -> float:
    """The share of a core that key_issuer takes in the next seconds."""
    before, began = spent(rig), time.monotonic()
    await asyncio.sleep(SECONDS)
    return (spent(rig) - before) / (time.monotonic() - began)


async def gather_crowd(rig: Rig) -> Crowd:
    """A thousand listeners, each of which has heard its first event."""
    token = command(
        *("service-key", "create", "--name", "api", "--permission", "introspect"),
        environ=rig.services.environ,
    ).strip()
    request = f"GET /api/v1/revocations HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    crowd, loop = Crowd(), asyncio.get_running_loop()
    for _ in range(LISTENERS // AT_ONCE):
        made = await asyncio.gather(
            *(
                loop.create_connection(lambda: Member(crowd, request), "127.0.0.1", rig.port("key-issuer"))
                for _ in range(AT_ONCE)
            )
        )
        crowd.members += [member for _transport, member in made]
    async with asyncio.timeout(10):
        await asyncio.gather(*(member.first for member in crowd.members))
    return crowd


async def revoke_and_time(person: Person, crowd: Crowd) -> float:
    """From the answer to a revocation to the last listener that heard of it, in seconds."""
    key = await person.create_key("bench", ["submit_score"])
    await crowd.expect(str(key["keyID"]))
    await person.http.delete(f"/api/v1/keys/{key['keyID']}")
    began = time.monotonic()
    async with asyncio.timeout(10):
        await crowd.all_heard.wait()
    return time.monotonic() - began


async def test_a_thousand_listeners_are_cheap(rig: Rig) -> None:
    """Below 60 MB and a tenth of a core, in silence and while keys are revoked, and all hear in a moment."""
    idle_mb, idle = rig.memory_mb("key-issuer"), await share_of(rig)
    crowd = await gather_crowd(rig)
    quiet = await share_of(rig)
    async with Site.at(rig.services.urls["auth-api"], origin=rig.services.public_url) as site:
        person = await site.sign_up()
        before, began = spent(rig), time.monotonic()
        delays = sorted([await revoke_and_time(person, crowd) for _ in range(REVOCATIONS)])
        busy = (spent(rig) - before) / (time.monotonic() - began)
        rate = REVOCATIONS / (time.monotonic() - began)
    added_mb = rig.memory_mb("key-issuer") - idle_mb
    print(  # noqa: T201 - the figures are what it is run for
        f"\n{LISTENERS} listeners: {added_mb:.1f} MB; {idle:.1%} of a core without them, {quiet:.1%} in silence, "
        f"{busy:.1%} at {rate:.0f} revocations/s; all heard in {1000 * delays[len(delays) // 2]:.0f} ms "
        f"(median), {1000 * delays[-1]:.0f} ms (longest)"
    )
    assert not any(member.lost for member in crowd.members)
    assert added_mb < MOST_MB
    assert quiet < MOST_SHARE
