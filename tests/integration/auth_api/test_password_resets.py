"""An operator's link with which a person sets a new password (AC-40)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from click.testing import CliRunner, Result

from deploy.cli.users import users
from shared.bus import Bus
from shared.contracts.sessions import PasswordResetState, ReadPasswordReset
from shared.secret_tokens import digest_of
from tests.harness.buses import started
from tests.harness.site import PASSWORD, Person
from tests.integration.auth_api.conftest import Registry

NEW = "another horse battery"
PATH = "/api/v1/account/password-reset"

Reset = Callable[[str], Awaitable[Result]]


@pytest.fixture
def reset(registry: Registry) -> Reset:
    """`latchkey users set-password NAME` without a password on stdin."""
    environment = registry.stores.environment() | {"LATCHKEY_PUBLIC_URL": registry.site.url}

    async def run(name: str) -> Result:
        runner = CliRunner(env=environment)
        return await asyncio.to_thread(runner.invoke, users, ["set-password", name], "")

    return run


def token_in(made: Result) -> str:
    """What the printed link holds."""
    assert made.exit_code == 0, made.output
    return parse_qs(urlsplit(made.stdout.strip()).query)["token"][0]


async def use(registry: Registry, token: str, new: str = NEW) -> httpx.Response:
    """`POST /api/v1/account/password-reset`."""
    return await registry.site.http.post(PATH, json={"token": token, "new": new})


async def sign_in(person: Person, password: str) -> int:
    """The status of signing in, in a browser of its own."""
    visitor = await person.site.visitor()
    return (await visitor.sign_in(person.username, password)).status_code


async def test_ac_40_a_link_sets_one_password(registry: Registry, reset: Reset) -> None:
    """One line on stdout, an address of the site; nothing ends before it is used; then once, and every session ends."""
    person = await registry.site.sign_up()
    made = await reset(person.username)
    assert made.stdout.startswith(f"{registry.site.url}/reset-password?token=")
    assert made.stdout.count("\n") == 1
    token = token_in(made)
    assert await sign_in(person, PASSWORD) == 200
    answer = await use(registry, token)
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (204, False)
    assert (await person.http.get("/api/v1/session")).status_code == 401
    assert [await sign_in(person, password) for password in (PASSWORD, NEW)] == [401, 200]
    again = await use(registry, token, f"{NEW} again")
    assert again.status_code == 404
    assert await sign_in(person, NEW) == 200


async def test_ac_40_looking_uses_nothing_up(registry: Registry, reset: Reset) -> None:
    """The page may be opened by a mail program, reloaded, and left with Back: only the form counts."""
    person = await registry.site.sign_up()
    token = token_in(await reset(person.username))
    question = ReadPasswordReset(token_digest=digest_of(token))
    async with started(Bus(registry.stores.redis_url, source="consent_ui")) as pages:
        for _ in range(3):
            assert await pages.request(question) == PasswordResetState(username=person.username)
        assert (await registry.site.http.get(PATH)).status_code == 405
        assert (await registry.site.http.head(PATH)).status_code == 405
        assert (await use(registry, token)).status_code == 204
        assert await pages.request(question) == PasswordResetState()


async def test_ac_40_of_many_at_once_one_counts(registry: Registry, reset: Reset) -> None:
    """Whoever is second is told that the link was used."""
    person = await registry.site.sign_up()
    token = token_in(await reset(person.username))
    answers = await asyncio.gather(*(use(registry, token, f"{NEW} {number}") for number in range(6)))
    assert sorted(answer.status_code for answer in answers) == [204, 404, 404, 404, 404, 404]


async def test_only_the_newest_link_leads_anywhere(registry: Registry, reset: Reset) -> None:
    """And none that is too old, or is followed by a change of the password, or belongs to an account that is disabled."""
    person = await registry.site.sign_up()
    first, second = token_in(await reset(person.username)), token_in(await reset(person.username.upper()))
    assert (await use(registry, first)).status_code == 404
    await registry.sql("UPDATE auth.password_resets SET expires_on = $1", registry.resources.clock.now())
    assert (await use(registry, second)).status_code == 404
    changed = token_in(await reset(person.username))
    await person.http.post("/api/v1/account/password", json={"current": PASSWORD, "new": NEW})
    assert (await use(registry, changed)).status_code == 404
    disabled = token_in(await reset(person.username))
    await registry.sql("UPDATE auth.users SET disabled_on = 1 WHERE user_id = $1", person.user_id)
    assert (await use(registry, disabled)).status_code == 404
    assert await sign_in(person, NEW) == 401


async def test_a_password_that_cannot_be_one_uses_nothing_up(registry: Registry, reset: Reset) -> None:
    """400 names the field; the form's page gets the link back, and the next try works."""
    person = await registry.site.sign_up()
    token = token_in(await reset(person.username))
    for new, word in (("short", "new"), ("Password1", "common"), (person.username.upper(), "is-name")):
        answer = await use(registry, token, new)
        assert answer.status_code == 400
        assert [error["field"] for error in answer.json()["errors"]] == ["new"]
        form = await registry.site.http.post(PATH, data={"token": token, "new": new})
        assert form.status_code == 303
        assert form.headers["Location"] == f"/reset-password?error={word}&token={token}"
    done = await registry.site.http.post(PATH, data={"token": token, "new": NEW})
    assert (done.status_code, done.headers["Location"]) == (303, "/login?done=password")
    used = await registry.site.http.post(PATH, data={"token": token, "new": NEW})
    assert used.headers["Location"] == f"/reset-password?error=used&token={token}"


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "A" * 44, "é" * 43, "' OR 1=1 --", "%00"])
async def test_what_is_no_link_leads_nowhere(registry: Registry, token: str) -> None:
    """404, whatever it is."""
    assert (await use(registry, token)).status_code == 404


async def test_another_site_sets_no_password(registry: Registry, reset: Reset) -> None:
    """403, and the link can still be used."""
    person = await registry.site.sign_up()
    token = token_in(await reset(person.username))
    body, headers = {"token": token, "new": NEW}, {"Origin": "https://evil.example"}
    assert (await registry.site.http.post(PATH, json=body, headers=headers)).status_code == 403
    assert (await use(registry, token)).status_code == 204


async def test_ac_50_no_store_holds_a_link(registry: Registry, reset: Reset) -> None:
    """Its digest, and nothing else of it."""
    person = await registry.site.sign_up()
    token = token_in(await reset(person.username))
    (row,) = await registry.sql("SELECT * FROM auth.password_resets WHERE user_id = $1", person.user_id)
    assert row["token_digest"] == digest_of(token)
    assert token not in str(dict(row))
    assert token not in str(await registry.sql("SELECT * FROM auth.audit"))


async def test_a_script_sets_a_password_at_once(registry: Registry) -> None:
    """One line on stdin, as ever (interface §1); a common one is wrong usage."""
    person = await registry.site.sign_up()
    runner = CliRunner(env=registry.stores.environment())
    common = await asyncio.to_thread(runner.invoke, users, ["set-password", person.username], "password1\n")
    assert common.exit_code == 2
    assert "most common" in common.stderr
    done = await asyncio.to_thread(runner.invoke, users, ["set-password", person.username], f"{NEW}\n")
    assert (done.exit_code, done.stdout) == (0, "")
    assert await sign_in(person, NEW) == 200
    (line,) = await registry.sql(
        "SELECT actor, peer FROM auth.audit WHERE action = 'user.password-set' AND subject = $1",
        f"user:{person.user_id}",
    )
    assert tuple(line) == ("operator", "cli")
