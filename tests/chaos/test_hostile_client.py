"""One hostile client against the three services with two workers each: whatever it sends, everybody else goes on."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.chaos.attacks import ATTACKS, Means
from tests.chaos.bystanders import PEER, Belongings, Bystanders, Limits
from tests.chaos.hostile_client import Plan, raging
from tests.harness.backends import new_folder
from tests.harness.processes import RunningServices, running_services
from tests.harness.routing import ByPath
from tests.harness.site import PASSWORD, Person, Site

WORKERS: Final = 2
HOSTILE_ACCOUNTS: Final = 48
BYSTANDERS: Final = 4
SETTLING_SECONDS: Final = 1.0
"""Without an attack before it: every connection is made, every key in every cache."""
A_MINUTE: Final = 60.0

STRICT: Final = Limits(
    check_seconds=0.020, answer_seconds=2, refused=0, dead_seconds=1, redis_bytes=20_000_000
)
"""On a machine with two cores that does nothing else."""
SURVIVED: Final = Limits(
    check_seconds=1, answer_seconds=8, refused=1 / 3, dead_seconds=5, redis_bytes=20_000_000
)
"""On a busy one, whose own load may cost a sign-in: an attack that succeeds is far beyond."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def services(run_directory: Path) -> Iterator[RunningServices]:
    """As an operator starts them, with all their limits, and with registration open to programs."""
    environ = {"LATCHKEY_REGISTRATION": "on"}
    with running_services(new_folder(run_directory), environ=environ, workers=WORKERS) as services:
        yield services


@asynccontextmanager
async def site_from(services: RunningServices, peer: str) -> AsyncIterator[Site]:
    """The services, as somebody at that address sees them."""
    async with (
        ByPath(services.urls, peer=peer) as transport,
        Site.at(services.public_url, transport=transport) as site,
    ):
        yield site


@pytest.fixture(scope="module")
async def means(services: RunningServices) -> Means:
    """Accounts and clients of the hostile client; made from elsewhere, so that it begins with clean hands."""
    async with site_from(services, "127.0.0.6") as site:
        author = await site.sign_up()  # signs in no more: an account keeps its newest sessions only
        people = [await site.sign_up() for _ in range(HOSTILE_ACCOUNTS)]
        client = await author.create_client()
        public = await author.create_client(public=True, redirectUri="https://hostile.example/cb")
        return Means(
            origin=services.public_url,
            cookie=cookie_of(author),
            client_id=client.client_id,
            public_id=public.client_id,
            password=PASSWORD,
            usernames=[person.username for person in people],
        )


@pytest.fixture
async def keeper(services: RunningServices) -> AsyncIterator[Person]:
    """Who has the keys that are checked, and those that are revoked."""
    async with site_from(services, PEER) as site:
        yield await site.sign_up()


@pytest.fixture
async def others(keeper: Person) -> list[str]:
    """The usernames of those who sign in."""
    return [(await keeper.site.sign_up()).username for _ in range(BYSTANDERS)]


def cookie_of(person: Person) -> str:
    """The header that a browser sends."""
    return "; ".join(f"{name}={value}" for name, value in person.http.cookies.items())


async def make_keys(keeper: Person, number: int) -> list[tuple[str, str]]:
    """Ids and keys."""
    made: list[dict[str, Any]] = [
        await keeper.create_key(f"Key {each}", ["submit_score"]) for each in range(number)
    ]
    return [(each["keyID"], each["token"]) for each in made]


async def judge(
    attack: str,
    seconds: float,
    limits: Limits,
    services: RunningServices,
    means: Means,
    keeper: Person,
    others: list[str],
) -> None:
    """Lets the hostile client rage for so long, and holds what the others met to the limits."""
    good = await make_keys(keeper, BYSTANDERS)
    spare = await make_keys(keeper, int(SETTLING_SECONDS + seconds) + 4)
    bystanders = Bystanders(
        services,
        Belongings(
            origin=services.public_url,
            keys=[key for _, key in good],
            password=PASSWORD,
            usernames=others,
            cookie=cookie_of(keeper),
            spare_keys=iter(spare),
        ),
    )
    calm = await bystanders.watch(SETTLING_SECONDS)
    async with raging(Plan(attack, services.urls, seconds, means)) as hostile:
        met = await bystanders.watch(seconds)
        await hostile.ended()
    sys.stderr.write(f"\n{attack}, calm: {calm}\n{attack}, {seconds:g} s: {met}\n  {hostile.fusillade}\n")
    broken = met.broken(limits)
    assert not broken, "\n".join([*broken, str(hostile.fusillade)])
    assert hostile.fusillade.answers.total() > seconds


@pytest.mark.alone
@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_hostile_client_stops_nobody(
    attack: str,
    services: RunningServices,
    means: Means,
    keeper: Person,
    others: list[str],
    pytestconfig: pytest.Config,
) -> None:
    """Keys are checked, people sign in, revocations are answered and heard, Redis stays small, no worker is lost."""
    seconds = float(pytestconfig.getoption("--chaos-seconds")) / len(ATTACKS)
    await judge(attack, seconds, SURVIVED, services, means, keeper, others)


@pytest.mark.benchmark
@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_minute_of_each_attack(
    attack: str, services: RunningServices, means: Means, keeper: Person, others: list[str]
) -> None:
    """On a quiet machine: checks below 20 ms (p99), sign-ins below 2 s, revocations 204, less than 20 MB more in Redis."""
    await judge(attack, A_MINUTE, STRICT, services, means, keeper, others)
