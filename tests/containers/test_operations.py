"""What an operator does to a running deployment: restore it, change its secrets, restart it, without losing a key."""

from __future__ import annotations

import asyncio
import secrets
import time
from functools import partial
from typing import Final

import httpx
import pytest

from tests.containers.deployment import AS_IT_COMES, ONE_OF_EACH, OURS, Deployment, Shape, run, wait_until
from tests.harness.crowd import burst, crowd_at
from tests.harness.site import Site

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(900)]

ROLLED: Final = ("rolling_restart_done", "rolling_restart_given_up")
TWO_WORKERS: Final = Shape(workers=2)


def _hang(deployment: Deployment, service: str) -> None:
    """Stops the worker of a service, and waits for the other."""
    container = deployment.containers(service)[0]
    children = "/proc/1/task/1/children"
    began = time.time()
    hung = deployment.inside(container, "sh", "-c", f"kill -STOP $(cat {children}) && cat {children}")
    assert len(hung.split()) == 1
    deployment.engine.wait_for_line(container, ("worker_hung",), began, 60.0)

    def is_replaced() -> bool:
        return deployment.inside(container, "cat", children) not in ("", hung)

    wait_until(is_replaced, f"another worker of {service}", 60.0)
    assert deployment.inspect(container, "{{.RestartCount}}") == "0"


async def test_a_process_that_hangs_is_replaced(deployment: Deployment) -> None:
    """In each container of ours the only worker is stopped (SIGSTOP): soon another one answers, in the same container."""
    await asyncio.to_thread(deployment.take, AS_IT_COMES)
    await asyncio.gather(*(asyncio.to_thread(_hang, deployment, service) for service in OURS))
    await asyncio.to_thread(deployment.wait_until_ready)


async def test_a_backup_restores_what_was_there(deployment: Deployment, deployed_site: Site) -> None:
    """The commands of docs/operating.md: a key of the dump is good again, one made after it is unknown."""
    author = await deployed_site.sign_up()
    client = await author.create_client()
    kept = str((await author.give_key(client))["access_token"])
    (postgres,) = deployment.containers("postgres")
    dump = deployment.folder / "latchkey.dump"
    await asyncio.to_thread(
        run, "sh", "-c", f"docker exec {postgres} pg_dump -U postgres -Fc latchkey > {dump}"
    )
    later = str((await author.give_key(client))["access_token"])

    await asyncio.to_thread(deployment.compose, "stop", *OURS)
    restore = f"docker exec -i {postgres} pg_restore -U postgres -d latchkey --clean --if-exists < {dump}"
    await asyncio.to_thread(run, "sh", "-c", restore)
    await asyncio.to_thread(deployment.compose, "start", *OURS)
    await asyncio.to_thread(deployment.wait_until_up)
    assert (await deployed_site.verify(kept, "customise_score")).status_code == httpx.codes.OK
    assert (await deployed_site.verify(later)).status_code == httpx.codes.UNAUTHORIZED
    report = await asyncio.to_thread(deployment.operator, "doctor")
    assert "problem " not in report


async def test_secrets_rotate_without_an_outage(deployment: Deployment) -> None:
    """Pepper, cookie secret, a database login and a Redis password change while workers are replaced (SIGHUP): none fails."""
    await asyncio.to_thread(deployment.take, TWO_WORKERS)
    async with crowd_at(deployment.url, people=9) as crowd:
        _status, consent = await crowd.consent(crowd.people[0])
        _status, before = await crowd.exchange(consent["code"])
        async with burst(crowd, each=2, checks=4) as found:
            await asyncio.sleep(1)
            for step in (_make_known, _make_current):
                await asyncio.to_thread(step, deployment)
                await _roll(deployment)
        print(f"rolling restarts: {dict(found.answers)}")  # noqa: T201 - the numbers of the run
        assert found.failures == {}, found.answers
        assert found.answers["exchange 200"] > 50
        assert (await crowd.verify(before["access_token"]))[0] == httpx.codes.OK
        assert (await crowd.ask("GET", "/api/v1/session", headers=crowd.people[0]))[0] == httpx.codes.OK
    (postgres,) = deployment.containers("postgres")
    sealed = "SELECT count(*) FROM keys.api_keys WHERE pepper_version = 2"
    assert int(deployment.inside(postgres, "psql", "-U", "postgres", "-d", "latchkey", "-Atc", sealed)) > 0
    query = "SELECT string_agg(DISTINCT usename, ' ') FROM pg_stat_activity WHERE application_name = 'latchkey-auth-api'"
    as_whom = partial(deployment.inside, postgres, "psql", "-U", "postgres", "-Atc", query)
    await asyncio.to_thread(
        wait_until, lambda: as_whom().strip() == "auth_api_2", "the last of the old login", 40.0
    )


def _make_known(deployment: Deployment) -> None:
    """The first step of docs/operating.md: new pepper and secret are known, new passwords in use."""
    folder = deployment.folder / "deploy" / "secrets"
    pepper, secret = folder / "key_pepper", folder / "secret"
    fresh = secrets.token_urlsafe(48)
    pepper.write_text(f"1:{pepper.read_text(encoding='utf-8').strip()},2:{fresh}\n", encoding="utf-8")
    secret.write_text(f"{secret.read_text(encoding='utf-8').strip()},{fresh[::-1]}\n", encoding="utf-8")
    password = secrets.token_hex(24)
    (postgres,) = deployment.containers("postgres")
    statement = f"CREATE ROLE auth_api_2 LOGIN PASSWORD '{password}' IN ROLE latchkey_auth_api"
    deployment.inside(postgres, "psql", "-U", "postgres", "-d", "latchkey", typed=statement)
    database = f"postgresql://auth_api_2:{password}@postgres:5432/latchkey\n"
    (folder / "auth_api_database_url").write_text(database, encoding="utf-8")
    (redis,) = deployment.containers("redis")
    deployment.inside(redis, "sh", "/etc/redis-latchkey/add-password.sh", "auth_api", typed=password)
    (folder / "auth_api_redis_url").write_text(
        f"redis://auth_api:{password}@redis:6379/0\n", encoding="utf-8"
    )


def _make_current(deployment: Deployment) -> None:
    """The second: new pepper and secret stand first."""
    for name in ("key_pepper", "secret"):
        file = deployment.folder / "deploy" / "secrets" / name
        old, new = file.read_text(encoding="utf-8").strip().split(",")
        file.write_text(f"{new},{old}\n", encoding="utf-8")


async def _roll(deployment: Deployment) -> None:
    """Replaces the workers of all services, at the same time, and waits until that is done."""
    ours = [container for service in OURS for container in deployment.containers(service)]
    began = time.time()
    for container in ours:
        deployment.engine.send(container, "HUP")

    async def end(container: str) -> str:
        return await asyncio.to_thread(deployment.engine.wait_for_line, container, ROLLED, began, 90.0)

    ends = await asyncio.gather(*map(end, ours))
    assert all("rolling_restart_done" in end for end in ends), ends


async def test_everything_restarted_finds_the_key_still_good(
    deployment: Deployment, deployed_site: Site
) -> None:
    """After every container was restarted, and after all were removed and made anew, key and session are as before."""
    author = await deployed_site.sign_up()
    client = await author.create_client()
    kept = str((await author.give_key(client))["access_token"])
    revoked = str((await author.give_key(client))["access_token"])
    await deployed_site.http.post("/api/v1/oauth/revoke", data={"token": revoked}, auth=client.basic)

    def restart() -> None:
        deployment.compose("restart", "-t", "10")
        deployment.wait_until_up()

    def make_anew() -> None:
        deployment.compose("down", "-t", "10")
        deployment.shape = ONE_OF_EACH
        deployment.up()

    for step in (restart, make_anew):
        await asyncio.to_thread(step)
        assert (await deployed_site.verify(kept, "customise_score")).status_code == httpx.codes.OK
        assert (await deployed_site.verify(revoked)).status_code == httpx.codes.UNAUTHORIZED
        assert (await author.http.get("/api/v1/session")).status_code == httpx.codes.OK
        assert (await author.give_key(client))["access_token"]
