"""What a person and a program may rely on once a key was answered: real processes, HTTP, the real stores."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import pytest
from redis.asyncio import Redis

from deploy.embedded.ports import free_port
from shared.secret_tokens import digest_of
from tests.harness.backends import new_folder
from tests.harness.processes import SERVICES, RunningProcess, is_ready, starting
from tests.harness.routing import routed_site
from tests.harness.site import CALLBACK, Client, Person, Site
from tests.harness.stores import Servers, Stores, fresh_stores
from tests.integration.oauth.severable import Severable

PENDING_SECONDS: Final = 1
"""After so long, versions before this one ended a key whose delivery nobody had confirmed; nothing reads it any more."""
UNUSED_SECONDS: Final = 5.0
"""Longer than such a version took to do so."""
REFUSED_SECONDS: Final = 5.0
VERIFIER: Final = "v" * 43
_PERMISSION: Final = '[{}]\ntitle = "Do something"\nsentence = "Do something."\naccess = "change"\n'
CHALLENGE: Final = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@dataclass(slots=True)
class Live:
    """Services as processes on stores of their own."""

    site: Site
    stores: Stores
    urls: Mapping[str, str]
    environs: Mapping[str, Mapping[str, str]]
    folder: Path
    stack: ExitStack
    processes: dict[str, RunningProcess]

    async def start(self, name: str, **variables: str) -> None:
        """Starts a service on its port, and waits until it is ready."""
        added = {f"LATCHKEY_{variable}": value for variable, value in variables.items()}
        port = self.urls[name].rpartition(":")[2]
        process = self.stack.enter_context(
            starting(
                "serve", name, "--port", port, folder=self.folder, environ={**self.environs[name], **added}
            )
        )
        self.processes[name] = process
        await asyncio.to_thread(process.wait_until, lambda: is_ready(self.urls[name]), "it was ready")

    async def stop(self, name: str) -> None:
        """SIGTERM, and waits for the end."""
        await asyncio.to_thread(self.processes[name].stop)

    async def consented(self, **client: Any) -> tuple[Person, Client]:
        """A person, and a client of theirs with a name that no other has."""
        person = await self.site.sign_up()
        return person, await person.create_client(name=f"App {secrets.token_hex(4)}", **client)

    async def statuses(self, person: Person) -> list[str]:
        """What the database says of a person's keys."""
        connection = await asyncpg.connect(self.stores.database_url)
        try:
            rows = await connection.fetch(
                "SELECT status FROM keys.api_keys WHERE user_id = $1", person.user_id
            )
        finally:
            await connection.close()
        return [row["status"] for row in rows]

    async def forget_code(self, code: str) -> None:
        """Redis has forgotten a code, as it does some twenty minutes after its use."""
        async with Redis.from_url(self.stores.redis_url) as redis:
            found = [key async for key in redis.scan_iter(f"*{digest_of(code)}*")]
            assert found, "Redis knows the code"
            await redis.delete(*found)


@asynccontextmanager
async def living(
    servers: Servers,
    run_directory: Path,
    *,
    names: tuple[str, ...] = ("auth-api", "key-issuer"),
    auth_redis: Callable[[str], Severable] | None = None,
    environs: Mapping[str, Mapping[str, str]] | None = None,
    **variables: str,
) -> AsyncIterator[tuple[Live, Severable]]:
    """The services, and the line between auth_api and Redis."""
    async with fresh_stores(servers) as stores, Severable(stores.redis_url).serving() as line:
        urls = {name: f"http://127.0.0.1:{free_port()}" for name in SERVICES}
        common = {
            **stores.environment(),
            "LATCHKEY_PUBLIC_URL": urls["auth-api"],
            "LATCHKEY_THROTTLE": "off",
            **{f"LATCHKEY_{name}": value for name, value in variables.items()},
        }
        own = {"auth-api": {"LATCHKEY_REDIS_URL": line.url}, **(environs or {})}
        stack = ExitStack()
        async with routed_site(urls["auth-api"], urls) as site:
            folder = new_folder(run_directory)
            each = {name: {**common, **own.get(name, {})} for name in SERVICES}
            live = Live(site, stores, urls, each, folder, stack, {})
            try:
                await asyncio.gather(*(live.start(name) for name in names))
                yield live, line
            finally:
                line.mend()
                await asyncio.to_thread(stack.close)


Start = Callable[..., Any]


@pytest.fixture
def start(servers: Servers, run_directory: Path) -> Start:
    """Starts services of a test's own."""
    return partial(living, servers, run_directory)


@pytest.fixture(scope="module")
async def live(servers: Servers, run_directory: Path) -> AsyncIterator[Live]:
    """All three, for the tests that do them no harm."""
    async with living(servers, run_directory, names=SERVICES) as (live, _):
        yield live


# A key lives from its 200 on


@pytest.mark.parametrize("way", ["killed", "stopped while Redis is away"])
async def test_a_key_lives_whatever_happens_to_the_process_that_answered(start: Start, way: str) -> None:
    """The first thing after the 200 is the end of auth_api; the key is first used long after, and accepted."""
    async with start(PENDING_KEY_SECONDS=str(PENDING_SECONDS)) as (live, line):
        person, client = await live.consented()
        code = await person.create_code(client)
        form = {"grant_type": "authorization_code", "code": code}
        process = live.processes["auth-api"].process
        async with live.site.http.stream(
            "POST", "/api/v1/oauth/token", data=form, auth=client.basic
        ) as answer:
            if way == "killed":
                process.kill()
            else:
                line.cut()
                process.send_signal(signal.SIGTERM)
            assert answer.status_code == 200
            key = json.loads(await answer.aread())
        await _while_unused(live, person)
        assert (await live.site.verify(key["access_token"])).status_code == 200
        await asyncio.to_thread(process.wait, 30)


async def _while_unused(live: Live, person: Person) -> None:
    """Time passes, and the key stays as it is."""
    clock = asyncio.get_running_loop().time
    over = clock() + UNUSED_SECONDS
    while clock() < over:
        assert await live.statuses(person) == ["active"]
        await asyncio.sleep(0.1)


# A key that was answered is in the next list


async def _in_keys(person: Person, key: dict[str, Any], client: Client) -> int:
    keys = (await person.http.get("/api/v1/keys")).json()
    return sum(each["keyID"] == key["keyID"] and each["fromAPIClient"] == client.client_id for each in keys)


async def _in_apps(person: Person, _: dict[str, Any], client: Client) -> int:
    apps = (await person.http.get("/api/v1/apps")).json()
    return sum(each["keys"] for each in apps if each["clientID"] == client.client_id)


async def _on_the_home_page(person: Person, key: dict[str, Any], _: Client) -> int:
    return int(f"/keys/{key['keyID']}" in (await person.http.get("/")).text)


async def _in_the_csv(person: Person, _: dict[str, Any], client: Client) -> int:
    lines = (await person.http.get("/keys.csv")).text.splitlines()
    return sum(str(client.document["name"]) in line for line in lines)


@pytest.mark.parametrize(
    "count",
    [_in_keys, _in_apps, _on_the_home_page, _in_the_csv],
    ids=["list", "apps", "home page", "CSV"],
)
async def test_a_key_is_in_the_very_next_list(
    live: Live, count: Callable[[Person, dict[str, Any], Client], Any]
) -> None:
    """Read at once after the 200, over and over: the person who looks for what they just allowed finds it."""
    person = await live.site.sign_up()
    for number in range(12):
        client = await person.create_client(name=f"App {number:02}")
        key = await person.give_key(client)
        assert await count(person, key, client) == 1


# 503 means that the code can be redeemed again


@pytest.mark.parametrize("late_seconds", [0.0, 3.0], ids=["while its time runs", "after its time"])
async def test_a_redeem_that_arrives_after_it_was_given_up_spends_nothing(
    start: Start, late_seconds: float
) -> None:
    """The command hangs on the old connection, the release overtakes it on a new one; then the command arrives."""
    async with start(CODE_TTL_SECONDS="300") as (live, line):
        person, client = await live.consented()
        await person.give_key(client)  # so that all connections are open
        code = await person.create_code(client)
        line.hold()
        given_up = await live.site.exchange(client, code)
        assert given_up.status_code == 503, given_up.text
        await asyncio.sleep(late_seconds)
        line.let_go()
        await _arrived(live)
        answer = await _answered(partial(live.site.exchange, client, code))
        assert answer.status_code == 200, answer.text
        assert (await live.site.verify(answer.json()["access_token"])).status_code == 200
        assert (await live.statuses(person)).count("active") == 2


async def _arrived(live: Live) -> None:
    """What was let go has reached Redis, which carries out one command after the other."""
    async with Redis.from_url(live.stores.redis_url) as redis:
        for _ in range(20):
            await redis.ping()
            await asyncio.sleep(0.01)


async def _answered(ask: Callable[[], Any], seconds: float = 20.0) -> httpx.Response:
    """The first answer that is no 503, as a program gets it that tries again."""
    async with asyncio.timeout(seconds):
        while True:
            answer: httpx.Response = await ask()
            if answer.status_code != 503:
                return answer
            await asyncio.sleep(0.1)


# Rotation strands nobody


@pytest.mark.parametrize("header", [{"Idempotency-Key": "rotate-1"}, {}], ids=["with the header", "without"])
async def test_a_rotation_whose_answer_was_lost_is_answered_again(
    start: Start, header: dict[str, str]
) -> None:
    """The new key is committed, its answer comes too late: 503; the retry gives a key that works, and one lives."""
    slow = {
        "LATCHKEY_TESTING": "1",
        "LATCHKEY_FAILPOINTS": "key_issuer.rotate.committed=pause:6@1",
    }
    async with start(environs={"key-issuer": slow}) as (live, _):
        person = await live.site.sign_up()
        old = await person.create_key("mine", ["customise_score"])
        path = f"/api/v1/keys/{old['keyID']}/rotate"
        rotate = partial(person.http.post, path, json={"overlapSeconds": 0}, headers=header)
        assert (await rotate()).status_code == 503
        answer = await _answered(rotate)
        assert answer.status_code == 200, answer.text
        assert (await live.site.verify(answer.json()["token"])).status_code == 200
        assert (await live.statuses(person)).count("active") == 1


# A code is good for what its client still has


@pytest.mark.parametrize(
    ("left", "form"),
    [
        (["https://other.example.com/back"], {"redirect_uri": CALLBACK}),
        (["https://other.example.com/back"], {}),
        ([], {"redirect_uri": CALLBACK}),
        ([], {}),
    ],
    ids=["sent", "not sent", "all removed, sent", "all removed, not sent"],
)
async def test_a_code_dies_with_its_redirect_uri(live: Live, left: list[str], form: dict[str, str]) -> None:
    """The author removes the address between consent and exchange: no key comes of the code."""
    person, client = await live.consented()
    given = {"redirectUri": CALLBACK} if form else {}
    code = await person.create_code(client, **given)
    changed = await person.http.patch(f"/api/v1/clients/{client.client_id}", json={"redirectUris": left})
    assert changed.status_code == 200, changed.text
    answer = await live.site.exchange(client, code, **form)
    assert (answer.status_code, answer.json().get("error")) == (400, "invalid_grant"), answer.text
    assert await live.statuses(person) == []


async def test_a_code_dies_with_its_permission(start: Start, tmp_path: Path) -> None:
    """The operator takes the permission out of the catalogue between consent and exchange."""
    before, after = tmp_path / "before.toml", tmp_path / "after.toml"
    before.write_text(_PERMISSION.format("submit_score") + _PERMISSION.format("customise_score"))
    after.write_text(_PERMISSION.format("submit_score"))
    async with start(PERMISSIONS_FILE=str(before)) as (live, _):
        person, client = await live.consented()
        code = await person.create_code(client)
        await live.stop("auth-api")
        await live.start("auth-api", PERMISSIONS_FILE=str(after))
        answer = await live.site.exchange(client, code)
        assert (answer.status_code, answer.json().get("error")) == (400, "invalid_grant"), answer.text
        assert await live.statuses(person) == []


# A replay is one only of who could have redeemed


@pytest.mark.parametrize(
    ("form", "lives"),
    [
        ({"redirect_uri": CALLBACK}, True),
        ({"redirect_uri": CALLBACK, "code_verifier": "w" * 43}, True),
        ({"redirect_uri": "https://other.example.com/back", "code_verifier": VERIFIER}, True),
        ({"code_verifier": VERIFIER}, True),
        ({"redirect_uri": CALLBACK, "code_verifier": VERIFIER}, False),
    ],
    ids=["no verifier", "wrong verifier", "wrong address", "no address", "all of it"],
)
async def test_a_replay_of_a_forgotten_code_needs_what_the_code_was_bound_to(
    live: Live, form: dict[str, str], *, lives: bool
) -> None:
    """Anybody can speak as a public client, and a code may have been seen on its way: alone it ends no key."""
    person, client = await live.consented(public=True)
    code = await person.create_code(
        client, redirectUri=CALLBACK, codeChallenge=CHALLENGE, codeChallengeMethod="S256"
    )
    good = {"redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    given = await live.site.exchange(client, code, **good)
    assert given.status_code == 200, given.text
    token = given.json()["access_token"]
    assert (await live.site.verify(token)).status_code == 200
    await live.forget_code(code)
    answer = await live.site.exchange(client, code, **form)
    assert (answer.status_code, answer.json().get("error")) == (400, "invalid_grant"), answer.text
    assert await live.statuses(person) == (["active"] if lives else ["revoked"])
    if not lives:
        await _refused(live, token)


async def _refused(live: Live, token: str) -> None:
    async with asyncio.timeout(REFUSED_SECONDS):
        while (await live.site.verify(token)).status_code != 401:
            await asyncio.sleep(0.02)
