"""What an operator does to a running deployment: scale it, lose a container, restart it, without losing a key."""

from __future__ import annotations

import asyncio
import re
import secrets

import httpx
import pytest

from tests.containers.deployment import OURS, PORTS, Deployment, run, wait_until
from tests.harness.crowd import burst, crowd_at
from tests.harness.site import Site

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(900)]

FOUND_SECONDS = 8.0
SCALED = {"key_issuer": 3, "auth_api": 2, "consent_ui": 2}
ROUTES = {"auth_api": "/api/v1/session", "consent_ui": "/", "key_issuer": "/api/v1/verify"}

_ASK = """
import sys, urllib.request
print(urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/metrics", timeout=5).read().decode())
"""


def _requests(deployment: Deployment, service: str, container: str) -> float:
    """How many requests on the service's route a container has answered."""
    program = "/opt/latchkey/bin/python"
    text = deployment.inside(container, program, "-c", _ASK, str(PORTS[service]))
    route = re.escape(ROUTES[service])
    samples = re.findall(
        rf'^latchkey_http_requests_total{{[^}}]*route="{route}"[^}}]*}} (\S+)$', text, re.MULTILINE
    )
    return sum(map(float, samples))


async def test_scaled_replicas_are_used_within_seconds(deployment: Deployment, deployed_site: Site) -> None:
    """After `--scale` every replica gets requests within 8 s of being up, and no request fails meanwhile."""
    failed: list[str] = []
    stop = asyncio.Event()

    async def ask(path: str) -> None:
        while not stop.is_set():
            answer = await deployed_site.http.get(path)
            if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                failed.append(f"{path} {answer.status_code}")
            await asyncio.sleep(0.02)

    tasks = [asyncio.create_task(ask(path)) for path in ROUTES.values()]
    try:
        scale = [word for service, count in SCALED.items() for word in ("--scale", f"{service}={count}")]
        await asyncio.to_thread(deployment.compose, "up", "-d", "--no-build", *scale)
        await asyncio.to_thread(deployment.wait_until_healthy)

        def every_replica_is_used() -> bool:
            return all(
                _requests(deployment, service, container) > 0
                for service in OURS
                for container in deployment.containers(service)
            )

        await asyncio.to_thread(wait_until, every_replica_is_used, "requests at every replica", FOUND_SECONDS)
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    assert failed == []
    assert {service: len(deployment.containers(service)) for service in OURS} == SCALED


async def test_a_container_killed_mid_burst_costs_no_key(deployment: Deployment) -> None:
    """With replicas, killing one of each service under load breaks at most what it held; every key handed out is good."""
    await asyncio.to_thread(deployment.compose, "up", "-d", "--no-build", *_scale())
    await asyncio.to_thread(deployment.wait_until_ready)
    async with crowd_at(deployment.url, people=13) as crowd:
        async with burst(crowd, checks=4) as found:
            await asyncio.sleep(1.5)
            for service in ("key_issuer", "auth_api", "consent_ui"):
                await asyncio.to_thread(
                    run, "docker", "kill", "-s", "KILL", deployment.containers(service)[0]
                )
                await asyncio.sleep(2)
            await asyncio.sleep(2)
        print(f"killed mid-burst: {dict(found.answers)}")  # noqa: T201 - the numbers of the run
        assert found.failures_of("check") == {}, found.answers
        # What the killed process had in hand: never sent twice, so the client learns that it failed.
        assert sum(found.failures.values()) <= 2 * 12, found.answers
        assert found.answers["exchange 200"] > 50
        dead = [key for key in found.recent_keys if (await crowd.verify(key))[0] != httpx.codes.OK]
        assert dead == []
    await asyncio.to_thread(deployment.compose, "up", "-d", "--no-build", *_scale())
    await asyncio.to_thread(deployment.wait_until_ready)
    assert "quiet" in await asyncio.to_thread(_quiet_bus, deployment)


def _hang(deployment: Deployment, service: str) -> None:
    """Stops the worker of a service, and waits for the other."""
    container = deployment.containers(service)[0]
    stop = "kill -STOP $(cat /proc/1/task/1/children) && cat /proc/1/task/1/children"
    hung = deployment.inside(container, "sh", "-c", stop)

    def is_replaced() -> bool:
        return deployment.inside(container, "cat", "/proc/1/task/1/children") not in ("", hung)

    wait_until(is_replaced, f"another worker of {service}", 60.0)
    assert deployment.inspect(container, "{{.RestartCount}}") == "0"


async def test_a_process_that_hangs_is_replaced(deployment: Deployment) -> None:
    """In each container of ours the only worker is stopped (SIGSTOP): soon another one answers, in the same container."""
    await asyncio.gather(*(asyncio.to_thread(_hang, deployment, service) for service in OURS))
    await asyncio.to_thread(deployment.wait_until_ready)


async def test_secrets_rotate_without_an_outage(deployment: Deployment) -> None:
    """Pepper, cookie secret, a database login and a Redis password change while workers are replaced (SIGHUP): none fails."""
    workers = {"AUTH_API_WORKERS": "2", "KEY_ISSUER_WORKERS": "2", "CONSENT_UI_WORKERS": "2"}
    one_each = _scale(dict.fromkeys(OURS, 1))
    await asyncio.to_thread(deployment.compose, "up", "-d", "--no-build", *one_each, environ=workers)
    await asyncio.to_thread(deployment.wait_until_ready)
    async with crowd_at(deployment.url, people=9) as crowd:
        _status, consent = await crowd.consent(crowd.people[0])
        _status, before = await crowd.exchange(consent["code"])
        async with burst(crowd, each=2, checks=4) as found:
            await asyncio.sleep(1)
            for step in (_make_known, _make_current):
                await asyncio.to_thread(step, deployment)
                await asyncio.to_thread(_roll, deployment)
        print(f"rolling restarts: {dict(found.answers)}")  # noqa: T201 - the numbers of the run
        assert found.failures == {}, found.answers
        assert found.answers["exchange 200"] > 50
        assert (await crowd.verify(before["access_token"]))[0] == httpx.codes.OK
        assert (await crowd.ask("GET", "/api/v1/session", headers=crowd.people[0]))[0] == httpx.codes.OK
    (postgres,) = deployment.containers("postgres")
    sealed = "SELECT count(*) FROM keys.api_keys WHERE pepper_version = 2"
    assert int(deployment.inside(postgres, "psql", "-U", "postgres", "-d", "latchkey", "-Atc", sealed)) > 0
    query = "SELECT string_agg(DISTINCT usename, ' ') FROM pg_stat_activity WHERE application_name = 'latchkey-auth-api'"
    assert deployment.inside(postgres, "psql", "-U", "postgres", "-Atc", query).strip() == "auth_api_2"
    await asyncio.to_thread(deployment.compose, "up", "-d", "--no-build")
    await asyncio.to_thread(deployment.wait_until_ready)


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


def _roll(deployment: Deployment) -> None:
    """Replaces the workers of all services, at the same time, and waits until that is done."""
    before = {
        container: _rolled(deployment, container)
        for service in OURS
        for container in deployment.containers(service)
    }
    for container in before:
        run("docker", "kill", "-s", "HUP", container)

    def all_rolled() -> bool:
        return all(_rolled(deployment, container) > count for container, count in before.items())

    wait_until(all_rolled, "all services rolled", 90.0)


async def test_everything_restarted_finds_the_key_still_good(
    deployment: Deployment, deployed_site: Site
) -> None:
    """After every container was restarted, and after all were removed and made anew, key and session are as before."""
    author = await deployed_site.sign_up()
    client = await author.create_client()
    kept = str((await author.give_key(client))["access_token"])
    revoked = str((await author.give_key(client))["access_token"])
    await deployed_site.http.post("/api/v1/oauth/revoke", data={"token": revoked}, auth=client.basic)

    for steps in ((("restart", "-t", "10"),), (("down", "-t", "10"), ("up", "-d", "--no-build"))):
        for step in steps:
            await asyncio.to_thread(deployment.compose, *step)
        await asyncio.to_thread(deployment.wait_until_ready)
        await asyncio.to_thread(deployment.wait_until_answering)
        assert (await deployed_site.verify(kept, "customise_score")).status_code == httpx.codes.OK
        assert (await deployed_site.verify(revoked)).status_code == httpx.codes.UNAUTHORIZED
        assert (await author.http.get("/api/v1/session")).status_code == httpx.codes.OK
        assert (await author.give_key(client))["access_token"]


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
    await asyncio.to_thread(deployment.wait_until_ready)
    await asyncio.to_thread(deployment.wait_until_answering)
    assert (await deployed_site.verify(kept, "customise_score")).status_code == httpx.codes.OK
    assert (await deployed_site.verify(later)).status_code == httpx.codes.UNAUTHORIZED
    report = await asyncio.to_thread(deployment.operator, "doctor")
    assert "problem " not in report


def test_no_service_lacks_a_right(deployment: Deployment) -> None:
    """In all of the above no service was refused anything by Redis or PostgreSQL for want of a right."""
    logs = deployment.compose("logs", "--no-color", *OURS)
    assert not re.search(r"NOPERM|no permissions|permission denied|background_task_died", logs)


def test_no_secret_got_into_a_log(deployment: Deployment) -> None:
    """Neither the services nor the proxy nor the stores wrote a key, a code, a password or a query."""
    logs = deployment.compose("logs", "--no-color")
    assert not re.search(r"lku_[0-9A-Za-z]{6}_[0-9A-Za-z]{16}_[0-9A-Za-z]{43}", logs)
    assert not re.search(r"[?&](code|state|clientID)=", logs)
    assert "correct horse battery" not in logs
    for file in (deployment.folder / "deploy" / "secrets").iterdir():
        secret = file.read_text(encoding="utf-8").strip()
        assert secret not in logs, file.name


def _scale(counts: dict[str, int] | None = None) -> list[str]:
    return [
        word for service, count in (counts or SCALED).items() for word in ("--scale", f"{service}={count}")
    ]


def _rolled(deployment: Deployment, container: str) -> int:
    """How many rolling restarts a container has finished."""
    finished = run("sh", "-c", 'docker logs "$0" 2>&1', container)
    return finished.count('"rolling_restart_done"') + finished.count('"rolling_restart_given_up"')


def _quiet_bus(deployment: Deployment) -> str:
    """Polls until the bus is quiet: what is redelivered after a kill takes some seconds."""
    said = ""

    def quiet() -> bool:
        nonlocal said
        try:
            said = deployment.operator("bus", "status")
        except AssertionError:
            return False
        return True

    wait_until(quiet, "a quiet bus", 60.0)
    return said
