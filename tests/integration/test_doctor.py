"""`doctor` on real servers, and on none."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import asyncpg
import pytest

from deploy.doctor import Finding, Verdict, examine
from deploy.embedded.ports import free_port
from shared.redis.client import CoalescingRedis
from tests.harness.backends import awaiting_the_disk
from tests.harness.rights import SERVICES, rules_of
from tests.harness.stores import Stores
from tests.integration.bus.conftest import Valkey, until


async def _found(environ: Mapping[str, str]) -> dict[tuple[str, str], Finding]:
    return {(finding.area, finding.subject): finding for finding in await examine(environ)}


@pytest.fixture
async def durable(run_directory: Path) -> AsyncIterator[None]:
    """PostgreSQL promises what it does in use, and not in the rest of the run."""
    async with awaiting_the_disk(run_directory):
        yield


@pytest.mark.usefixtures("durable")
async def test_a_working_deployment_has_no_problem(stores: Stores) -> None:
    """On migrated stores nothing is a problem; that one role owns both schemas is a warning."""
    found = await _found(stores.environment())
    problems = {key: one for key, one in found.items() if one.verdict is Verdict.PROBLEM}
    assert problems == {}
    assert found["postgres (key_issuer)", "migrations"].verdict is Verdict.OK
    assert found["redis", "maxmemory-policy"].detail == "noeviction"
    role = found["postgres (auth_api)", "role"]
    assert role.verdict is Verdict.WARNING
    assert "keys" in role.detail


async def test_verifiers_that_hear_nothing_are_a_warning(stores: Stores) -> None:
    """Reads of Redis may go well all the while."""
    finding = (await _found(stores.environment()))["streams", "revocations"]
    assert finding.verdict is Verdict.WARNING
    assert "key_issuer" in finding.advice
    client = CoalescingRedis(stores.redis_url)
    try:
        await client.execute("XADD", "lk:{revocations}", "*", "v", "1")
    finally:
        await client.close()
    assert (await _found(stores.environment()))["streams", "revocations"].verdict is Verdict.OK


async def test_rights_of_an_earlier_version_are_a_problem(stores: Stores, tmp_path: Path) -> None:
    """Redis keeps them until it is restarted; who has too many or too few is named. Where no service has a user all is well."""
    valkey = Valkey(tmp_path)
    valkey.start()
    client = CoalescingRedis(valkey.url)
    environ = {**stores.environment(), "LATCHKEY_REDIS_URL": valkey.url}

    async def answers() -> bool:
        await client.ping()
        return True

    try:
        await until(answers)
        assert ("redis", "rights") not in await _found(environ)
        for user in SERVICES:
            await client.execute("ACL", "SETUSER", user, *rules_of(user))
        assert ("redis", "rights") not in await _found(environ)
        await client.execute("ACL", "SETUSER", "consent_ui", "~lk:{auth_api:*}:commands")
        finding = (await _found(environ))["redis", "rights"]
        assert finding.verdict is Verdict.PROBLEM
        assert finding.detail.startswith("consent_ui: ")
        await client.execute("ACL", "SETUSER", "consent_ui", "reset", *rules_of("consent_ui"))
        before = " ".join(rules_of("auth_api")).partition(" (~lk:{events.keys}")[0].split(" ")
        await client.execute("ACL", "SETUSER", "auth_api", "reset", *before)
        finding = (await _found(environ))["redis", "rights"]
        assert finding.verdict is Verdict.PROBLEM
        assert finding.detail == "auth_api: may not do what webhooks need"
    finally:
        await client.close()
        valkey.kill()


async def test_a_missing_migration_is_named(stores: Stores) -> None:
    """The step that a schema lacks is a problem, and the line says how to apply it."""
    connection = await asyncpg.connect(stores.database_url)
    try:
        await connection.execute("DELETE FROM keys.migrations WHERE number = 1")
    finally:
        await connection.close()
    finding = (await _found(stores.environment()))["postgres (key_issuer)", "migrations"]
    assert finding.verdict is Verdict.PROBLEM
    assert "0001_" in finding.detail
    assert "latchkey migrate" in finding.advice


async def test_with_everything_down_it_still_answers() -> None:
    """Each store that cannot be reached is one problem; what depends on it is said to be unknown; in seconds."""
    nowhere = f"127.0.0.1:{free_port()}"
    started = time.monotonic()
    found = await _found(
        {
            "LATCHKEY_DATABASE_URL": f"postgresql://role:password@{nowhere}/latchkey",
            "LATCHKEY_REDIS_URL": f"redis://user:password@{nowhere}/0",
            "LATCHKEY_SECRET": "secret-of-the-tests-0123456789abcdef",
            "LATCHKEY_KEY_PEPPER": "pepper-of-the-tests-0123456789abcdef",
        }
    )
    assert time.monotonic() - started < 60
    for area in ("postgres (auth_api)", "postgres (key_issuer)", "redis"):
        assert found[area, "server"].verdict is Verdict.PROBLEM
        assert found[area, "server"].advice
        assert "password" not in found[area, "server"].detail
    assert found["streams", "all"].verdict is Verdict.UNKNOWN


@pytest.mark.usefixtures("durable")
async def test_one_service_is_examined_with_what_it_has(stores: Stores) -> None:
    """Inside a service's container nothing is asked for that only another one needs."""
    environ = {name: value for name, value in stores.environment().items() if name != "LATCHKEY_SECRET"}
    findings = await examine(environ, "key-issuer")
    assert not any(finding.verdict is Verdict.PROBLEM for finding in findings)
    assert not any("auth_api" in finding.area for finding in findings)
