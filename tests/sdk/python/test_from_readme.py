"""A program protected from the README alone, and the guard itself, beside a running Latchkey."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any, Final

import httpx
import pytest

from latchkey_sdk import Guard, Refused
from shared.api_key import SERVICE_KEY, USER_KEY, mint_key
from tests.harness.processes import REPOSITORY, command
from tests.harness.stack import Stack
from tests.sdk.python.conftest import AheadClock
from tests.sdk.python.latchkey import until
from tests.sdk.python.relay import relaying

README: Final = (REPOSITORY / "sdk" / "python" / "README.md").read_text(encoding="utf-8")
PROGRAM, BY_HAND = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
INVALID: Final = 'Bearer error="invalid_token"'


@pytest.fixture(scope="module")
def service_key(stack: Stack) -> str:
    """As the README has its reader make it."""
    environ = {"LATCHKEY_PUBLIC_URL": stack.url, **stack.stores.environment()}
    made = command("service-key", "create", "--name", "my-api", "--permission", "introspect", environ=environ)
    return made.strip()


@pytest.fixture
async def api(
    stack: Stack, service_key: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """The README's program, running."""
    monkeypatch.setenv("LATCHKEY_URL", stack.url)
    monkeypatch.setenv("LATCHKEY_SERVICE_KEY", service_key)
    program = ModuleType("program")
    exec(compile(PROGRAM, "README.md", "exec"), vars(program))  # noqa: S102 - our own page
    app = program.app
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as http,
    ):
        await until(lambda: bool(program.guard.stream_alive))
        yield http


async def asked(api: httpx.AsyncClient, token: str | None) -> tuple[int, str | None]:
    """The status and the challenge."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer = await api.get("/scores", headers=headers)
    return answer.status_code, answer.headers.get("WWW-Authenticate")


async def refused(api: httpx.AsyncClient, token: str) -> None:
    """Asks until the key is refused."""
    answers = [await asked(api, token)]

    while answers[-1][0] == httpx.codes.OK:
        answers.append(await asked(api, token))
    assert answers[-1] == (401, INVALID)


async def test_a_program_made_from_the_readme_refuses_what_it_should(
    api: httpx.AsyncClient, stack: Stack
) -> None:
    """A missing, malformed, wrong, under-permitted, paused and revoked key; the good one gets in until then."""
    person = await stack.site.sign_up()
    good = await person.create_key("Good", ["customise_score"])
    paused = await person.create_key("Paused", ["customise_score"])
    fewer = await person.create_key("Fewer", ["customise_score", "submit_score"])
    narrow = await person.create_key("Narrow", ["submit_score"])
    assert await asked(api, None) == (401, 'Bearer realm="latchkey"')
    for wrong in ("nonsense", mint_key("lk", USER_KEY, stack.url).token):
        assert await asked(api, wrong) == (401, INVALID)
    scope = 'Bearer error="insufficient_scope", scope="customise_score"'
    assert await asked(api, narrow["token"]) == (403, scope)
    for key in (good, paused, fewer):
        answer = await api.get("/scores", headers={"Authorization": f"Bearer {key['token']}"})
        assert answer.json() == {"hello": person.username}

    async def change(key: dict[str, Any], **fields: Any) -> None:
        changed = await person.http.patch(f"/api/v1/keys/{key['keyID']}", json=fields)
        assert changed.status_code == httpx.codes.OK

    await change(paused, status="paused")
    await refused(api, paused["token"])
    await change(paused, status="active")
    assert (await asked(api, paused["token"]))[0] == httpx.codes.OK
    await change(fewer, permissions=["submit_score"])
    while (await asked(api, fewer["token"]))[0] == httpx.codes.OK:
        pass
    assert await asked(api, fewer["token"]) == (403, scope)
    assert (await asked(api, good["token"]))[0] == httpx.codes.OK
    assert (await person.http.delete(f"/api/v1/keys/{good['keyID']}")).status_code == 204
    await refused(api, good["token"])


async def test_the_readme_says_by_hand_what_works(stack: Stack, service_key: str) -> None:
    """Its second block, as it stands."""
    person = await stack.site.sign_up()
    key = await person.create_key("Narrow", ["customise_score"])
    body = "".join(f"    {line}\n" for line in BY_HAND.splitlines())
    names: dict[str, Any] = {"Guard": Guard, "Refused": Refused}
    source = f"async def main(url, service_key, token):\n{body}        return key\n"
    for token, permissions in ((key["token"], '"customise_score"'), ("x", '"customise_score"')):
        shorter = source.replace('"customise_score", "delete_score"', permissions)
        exec(compile(shorter, "README.md", "exec"), names)  # noqa: S102 - our own page
        if token == "x":
            with pytest.raises(UnboundLocalError):  # it was refused
                await names["main"](stack.url, service_key, token)
        else:
            found = await names["main"](stack.url, service_key, token)
            assert (found.username, found.user_id) == (person.username, person.user_id)
            assert (found.key_id, found.client_id, found.external_user) == (key["keyID"], None, None)


async def test_a_real_stream_keeps_what_is_remembered_good(
    clock: AheadClock, stack: Stack, service_key: str
) -> None:
    """Over a minute one question; after a lost connection what was missed comes first."""
    person = await stack.site.sign_up()
    keys = [await person.create_key(name, ["customise_score"]) for name in ("One", "Two")]
    one, two = (key["token"] for key in keys)
    async with relaying(stack.url) as relay, Guard(relay.url, service_key) as guard:
        await until(lambda: guard.stream_alive)
        clock.ahead += (
            5  # the end of what is not settled yet; also a connection that is not believed any more
        )
        await until(lambda: guard.stream_alive)
        await guard.check(one)
        await guard.check(two)
        begun = relay.questions
        clock.ahead += 50
        assert (await person.http.delete(f"/api/v1/keys/{keys[1]['keyID']}")).status_code == 204
        await until(lambda: guard.stream_alive)
        assert relay.streams > 1
        await guard.check(one)
        assert relay.questions == begun
        with pytest.raises(Refused) as caught:
            await guard.check(two)
        assert caught.value.error == "invalid_token"


async def test_a_service_key_that_ends_ends_everything(stack: Stack) -> None:
    """503, since nothing can be known any more; within seconds also for what was remembered."""
    environ = {"LATCHKEY_PUBLIC_URL": stack.url, **stack.stores.environment()}
    made = command("service-key", "create", "--name", "gone", "--permission", "introspect", environ=environ)
    token = made.strip()
    person = await stack.site.sign_up()
    key = await person.create_key("Good", ["customise_score"])
    async with Guard(stack.url, token) as guard:
        await until(lambda: guard.stream_alive)
        await guard.check(key["token"])
        command("keys", "revoke", token.split("_")[2], environ=environ)
        await until(lambda: not guard.stream_alive)

        async def status() -> int:
            try:
                await guard.check(key["token"])
            except Refused as error:
                return error.status
            return 200

        while (answer := await status()) == 200:
            pass
        assert answer == 503
    other = mint_key("lk", SERVICE_KEY, stack.url).token
    async with Guard(stack.url, other) as guard:
        with pytest.raises(Refused) as caught:
            await guard.check(key["token"])
        assert (caught.value.status, caught.value.retry_after) == (503, 30)
