"""What an operator gets from compose.yaml: the flow through the proxy, closed doors, least rights."""

from __future__ import annotations

import json
import os
import subprocess
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.containers.deployment import AS_IT_COMES, OURS, Deployment, run
from tests.harness.people import Person
from tests.harness.site import CALLBACK, Site, bearer

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(900)]


async def test_the_flow_works_through_the_proxy(deployed_site: Site) -> None:
    """A person follows the seed's link and accepts; the program gets a key that works until the person takes it back."""
    site = deployed_site
    author = await site.sign_up()
    client = await author.create_client()
    async with Person(site.url) as person:
        link = f"{site.url}/oauth/request-auth?clientID={client.client_id}&context=home"
        answer = parse_qs(urlsplit(await person.decide(link, "Accept", CALLBACK)).query)
    assert answer["context"] == ["home"]
    assert answer["iss"] == [site.url]
    exchanged = await site.exchange(client, answer["code"][0])
    assert exchanged.status_code == httpx.codes.OK, exchanged.text
    key = exchanged.json()["access_token"]
    verified = await site.verify(key, "customise_score")
    assert verified.status_code == httpx.codes.OK
    assert verified.headers["X-Latchkey-Client"] == client.client_id
    status = await site.http.get("/api/v1/status", headers=bearer(key))
    assert status.json()["body"]["permissions"] == ["customise_score"]
    revoked = await site.http.post("/api/v1/oauth/revoke", data={"token": key}, auth=client.basic)
    assert revoked.status_code == httpx.codes.OK
    assert (await site.verify(key)).status_code == httpx.codes.UNAUTHORIZED


async def test_operations_are_not_routed_from_outside(deployed_site: Site) -> None:
    """Health and metrics are for the inside; however the path is written, the proxy keeps them there."""
    for path in ("/livez", "/readyz", "/metrics", "/Metrics", "//metrics", "/%6detrics", "/x/../metrics"):
        answer = await deployed_site.http.get(httpx.URL(deployed_site.url + path))
        assert answer.status_code == httpx.codes.NOT_FOUND, path
        assert "latchkey_http_requests" not in answer.text


async def test_the_proxys_own_errors_have_the_headers_of_all_others(deployed_site: Site) -> None:
    """A refusal that no service has seen is no way around the security headers."""
    answer = await deployed_site.http.get("/metrics")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Server"] == "Latchkey"
    assert answer.headers["X-Request-ID"]
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


async def test_a_forged_forwarded_for_counts_for_nothing(deployed_site: Site) -> None:
    """Wrong passwords are counted against the real peer, whatever X-Forwarded-For a client sends."""
    statuses = []
    for number in range(40):
        answer = await deployed_site.http.post(
            "/api/v1/session",
            json={"username": f"nobody-{number}", "password": "wrong password"},
            headers={"X-Forwarded-For": f"203.0.113.{number}", "Forwarded": f"for=203.0.113.{number}"},
        )
        statuses.append(answer.status_code)
    assert httpx.codes.TOO_MANY_REQUESTS in statuses


async def test_large_bodies_are_refused_in_the_services_words(deployed_site: Site) -> None:
    """The proxy lets through what the service then names: 413 in the shape of the endpoint."""
    answer = await deployed_site.http.post("/api/v1/oauth/token", data={"code": "x" * 200_000})
    assert answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
    assert answer.json()["error"] == "invalid_request"


def test_only_the_proxy_publishes_a_port(deployment: Deployment) -> None:
    """Nothing but the one HTTP port can be reached from outside."""
    for service in (*OURS, "postgres", "redis"):
        for container in deployment.containers(service):
            assert deployment.inspect(container, "{{json .HostConfig.PortBindings}}") in ("{}", "null")
    (proxy,) = deployment.containers("proxy")
    bindings = json.loads(deployment.inspect(proxy, "{{json .HostConfig.PortBindings}}"))
    assert [one["HostPort"] for binding in bindings.values() for one in binding] == [str(deployment.port)]


@pytest.mark.parametrize("service", OURS)
def test_our_containers_are_unprivileged(deployment: Deployment, service: str) -> None:
    """Ours run as a user of no rights on a file system they cannot change, without an installer or a compiler."""
    (container, *_) = deployment.containers(service)
    script = "id -u; grep CapEff /proc/1/status; touch /tmp/x; ls /opt/latchkey/bin"  # /tmp: the one place it may write
    user, capabilities, *programs = deployment.inside(container, "sh", "-ec", script).splitlines()
    assert user == "10001"
    assert int(capabilities.split()[1], 16) == 0
    assert "python3" in programs
    assert "pip" not in programs
    told = deployment.touch_as_root(container, "/srv/latchkey/x", "/opt/latchkey/x", "/etc/x")
    assert all(told.values()), told


def test_no_service_has_a_secret_of_another(deployment: Deployment) -> None:
    """The pepper is key_issuer's, the pages have no database, and nobody has the superuser's password."""
    secrets = {
        service: set(deployment.inside(deployment.containers(service)[0], "ls", "/run/secrets").split())
        for service in OURS
    }
    assert secrets == {
        "auth_api": {"auth_api_database_url", "auth_api_redis_url", "secret"},
        "consent_ui": {"consent_ui_redis_url", "secret"},
        "key_issuer": {"key_issuer_database_url", "key_issuer_redis_url", "key_pepper"},
    }


def test_with_auth_api_in_their_hands_nobody_reads_a_key(deployment: Deployment) -> None:
    """auth_api's database role sees no table of keys, can change no schema and read no file of the server."""
    refusals = {
        "SELECT * FROM keys.api_keys": "permission denied for schema keys",
        "SELECT * FROM keys.migrations": "permission denied for schema keys",
        "CREATE TABLE auth.mine (a int)": "permission denied for schema auth",
        "DROP TABLE auth.users": "must be owner",
        "SET ROLE latchkey_key_issuer": "permission denied to set role",
        "SET ROLE latchkey_migrate": "permission denied to set role",
        "SELECT pg_read_file('/etc/passwd')": "permission denied",
        "COPY (SELECT 1) TO PROGRAM 'id'": "must be superuser",
        "CREATE TEMP TABLE mine (a int)": "permission denied",
    }
    got, told = _psql(deployment, "auth_api", *refusals, "SELECT 'users', count(*) FROM auth.users")
    assert got.startswith("users|")
    assert len(got.splitlines()) == 1
    for (statement, refusal), said in zip(refusals.items(), told, strict=False):
        assert refusal in said, statement
    assert told[len(refusals) :] == [""]
    _, (said,) = _psql(deployment, "key_issuer", "SELECT * FROM auth.users")
    assert "permission denied for schema auth" in said


def test_each_redis_user_is_held_to_its_own_keys(deployment: Deployment) -> None:
    """Whoever takes over a service can neither read what is not its own nor command the server."""
    refused = {
        "auth_api": (
            "XADD lk:{revocations} * a b",
            "SCAN 0",
            "FLUSHALL",
            "CONFIG SET maxmemory-policy allkeys-lru",
            "ACL LIST",
            "XRANGE lk:{key_issuer:0}:commands - +",
        ),
        "key_issuer": (
            "GET lk:session:x",
            "KEYS *",
            "XRANGE lk:{auth_api:consent_ui:0}:commands - +",
        ),
        "consent_ui": (
            "GET lk:session:x",
            "XRANGE lk:{auth_api:consent_ui:0}:commands - +",
            "XADD lk:{auth_api:0}:commands * t client.authenticate",
            "XADD lk:{key_issuer:0}:commands * t key.issue",
            "XREAD STREAMS lk:{replies.auth_api.x} 0",
            "HGETALL lk:{key_issuer:0}:code:x",
            'EVAL "return 1" 0',
        ),
    }
    for user, commands in refused.items():
        for command, said in zip(commands, _redis(deployment, user, *commands), strict=True):
            assert "NOPERM" in said, (user, command)
    assert _redis(deployment, "auth_api", "GET lk:session:x") == [""]
    (said,) = _redis(deployment, "", "GET lk:session:x")
    assert "NOAUTH" in said


def test_the_engine_finds_all_healthy(deployment: Deployment) -> None:
    """The health checks of compose.yaml, which the tests themselves do not wait for, say in time that all is well."""
    deployment.wait_until_healthy(*OURS, "postgres", "redis", seconds=30.0)


def test_doctor_finds_nothing_to_mend(deployment: Deployment) -> None:
    """In the deployment as it comes every line of `doctor` is well."""
    deployment.take(AS_IT_COMES)
    report = json.loads(deployment.operator("doctor", "--json"))
    assert [one for one in report["findings"] if one["verdict"] != "ok"] == []
    subjects = {(one["area"], one["subject"]) for one in report["findings"]}
    assert ("redis", "maxmemory-policy") in subjects
    assert ("postgres (key_issuer)", "role") in subjects


def test_init_overwrites_nothing(deployment: Deployment) -> None:
    """A second `init` keeps every file as it is."""
    folder = deployment.folder / "deploy"
    files = [folder / ".env", *(folder / "secrets").iterdir()]
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}
    said = run(
        str(deployment.folder / "latchkey"), "init", environ=deployment.environ | _environment(deployment)
    )
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files} == before
    assert "made" not in said


def _environment(deployment: Deployment) -> dict[str, str]:
    from tests.harness.processes import REPOSITORY

    return {"LATCHKEY_VENV": deployment.environ.get("LATCHKEY_VENV", str(REPOSITORY / ".venv"))}


def _secret(deployment: Deployment, name: str) -> str:
    return (deployment.folder / "deploy" / "secrets" / name).read_text(encoding="utf-8").strip()


def _psql(deployment: Deployment, service: str, *statements: str) -> tuple[str, list[str]]:
    """What PostgreSQL gives to a service's role, all in all, and what it complains of at each statement."""
    url = urlsplit(_secret(deployment, f"{service}_database_url"))
    (container,) = deployment.containers("postgres")
    options = ["--no-psqlrc", "-A", "-t", "-h", "127.0.0.1", "-U", str(url.username), "-d", url.path[1:]]
    options += [word for statement in statements for word in ("-c", statement, "-c", "\\warn ---")]
    finished = subprocess.run(
        ["docker", "exec", "--env", "PGPASSWORD", container, "psql", *options],
        env=os.environ | {"PGPASSWORD": str(url.password)},
        capture_output=True,
        text=True,
        check=False,
    )
    return finished.stdout, finished.stderr.split("---\n")[:-1]


def _redis(deployment: Deployment, user: str, *commands: str) -> list[str]:
    """What Redis says to a service's user, at each command."""
    (container,) = deployment.containers("redis")
    script = 'for command; do echo "$command" | redis-cli ${USER:+--user "$USER"}; echo ---; done'
    password = urlsplit(_secret(deployment, f"{user}_redis_url")).password if user else ""
    login = {"USER": user} | ({"REDISCLI_AUTH": str(password)} if user else {})
    names = [word for name in login for word in ("--env", name)]
    said = run(
        *("docker", "exec", *names, container, "sh", "-c", script, "sh", *commands),
        environ=os.environ | login,
    )
    return [each.strip() for each in said.split("---\n")[:-1]]
