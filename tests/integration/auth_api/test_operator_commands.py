"""`latchkey users` and `latchkey clients`, as the operator runs them (interface §1)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from click.testing import CliRunner, Result

from deploy.cli.clients import clients
from deploy.cli.users import users
from services.auth_api.webhooks.keys import live_keys
from tests.harness.site import PASSWORD
from tests.integration.auth_api.conftest import Registry

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(registry: Registry) -> Run:
    """Runs a command on the registry's stores; what it says on stdout and stderr is kept apart."""
    environment = registry.stores.environment() | {"LATCHKEY_PUBLIC_URL": registry.site.url}

    async def run(*arguments: str, stdin: str = "") -> Result:
        group = {"users": users, "clients": clients}[arguments[0]]
        runner = CliRunner(env=environment)
        return await asyncio.to_thread(runner.invoke, group, arguments[1:], stdin)

    return run


async def test_an_account_is_made_with_a_password_from_stdin(registry: Registry, run: Run) -> None:
    """JSON on stdout, the password nowhere; the account signs in."""
    made = await run("users", "create", "Operated", stdin=f"{PASSWORD}\n")
    assert made.exit_code == 0
    document = json.loads(made.stdout)
    assert document["username"] == "Operated"
    assert PASSWORD not in made.output
    person = await registry.site.visitor()
    answer = await person.sign_in("Operated")
    assert answer.json()["userID"] == document["userID"]
    again = await run("users", "create", "oPERATED", stdin=f"{PASSWORD}\n")
    assert again.exit_code == 1
    assert "already" in again.stderr
    listed = await run("users", "list")
    assert "Operated" in listed.stdout
    (row,) = [
        row
        for row in json.loads((await run("users", "list", "--json")).stdout)
        if row["username"] == "Operated"
    ]
    assert row["disabledOn"] is None


@pytest.mark.parametrize(
    ("name", "password"), [("ab", PASSWORD), ("a b", PASSWORD), ("Fine", "short"), ("Fine", "")]
)
async def test_wrong_names_and_passwords_are_wrong_usage(run: Run, name: str, password: str) -> None:
    """Exit code 2 and a reason."""
    made = await run("users", "create", name, stdin=f"{password}\n")
    assert made.exit_code == 2
    assert "must be" in made.stderr


async def test_a_new_password_ends_every_session(registry: Registry, run: Run) -> None:
    """AC-35: the old cookie and the old password are dead, the new one works."""
    person = await registry.site.sign_up()
    changed = await run("users", "set-password", person.username, stdin="another password\n")
    assert changed.exit_code == 0
    assert (await person.http.get("/api/v1/session")).status_code == 401
    assert (await person.sign_in(person.username)).status_code == 401
    assert (await person.sign_in(person.username, "another password")).status_code == 200


async def test_disable_and_enable(registry: Registry, run: Run) -> None:
    """Disabled: sessions and keys are dead when the command ends; repeating is safe; enabled: signing in again."""
    person = await registry.site.sign_up()
    token = (await person.create_key("Key", ["submit_score"]))["token"]
    for _ in range(2):
        ended = await run("users", "disable", person.username)
        assert (ended.exit_code, ended.stdout) == (0, "")
    assert (await person.http.get("/api/v1/session")).status_code == 401
    async with asyncio.timeout(1):
        while (await registry.issuer.verify(token)).status_code != 401:
            await asyncio.sleep(0.01)
    assert "disabled" in (await run("users", "list")).stdout
    assert (await run("users", "enable", person.username)).exit_code == 0
    assert (await person.sign_in(person.username)).status_code == 200
    for command in ("disable", "enable", "set-password"):
        unknown = await run("users", command, "Nobody-here", stdin=f"{PASSWORD}\n")
        assert unknown.exit_code == 1
        assert "no account" in unknown.stderr


async def test_an_operators_client_may_have_a_chosen_id(registry: Registry, run: Run) -> None:
    """JSON with the secret on stdout, once; shown, listed, usable, deleted with everything."""
    made = await run(
        "clients", "create", "--id", "CXFervidex", "--name", "Fervidex", "--permission", "submit_score",
        "--permission", "customise_score", "--redirect-uri", "http://127.0.0.1/cb", "--api-key-filename", "f.json",
        "--api-key-format", '{"token": "%%TACHI_KEY%%"}',
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    document = json.loads(made.stdout)
    assert document["clientID"] == "CXFervidex"
    assert document["author"] == 0
    assert document["clientSecret"].startswith("lkx_")
    public = (await registry.site.http.get("/api/v1/clients/CXFervidex")).json()
    assert public["requestedPermissions"] == ["submit_score", "customise_score"]
    shown = json.loads((await run("clients", "show", "CXFervidex")).stdout)
    assert shown["byOperator"] is True
    assert "clientSecret" not in shown
    assert "CXFervidex" in (await run("clients", "list")).stdout
    person = await registry.site.sign_up()
    key = (await person.http.post("/api/v1/keys", json={"clientID": "CXFervidex"})).json()
    assert json.loads(key["file"]["content"]) == {"token": key["token"]}
    for method, path in (("PATCH", ""), ("DELETE", ""), ("POST", "/reset-secret")):
        answer = await person.http.request(method, f"/api/v1/clients/CXFervidex{path}", json={})
        assert answer.status_code == 404
    taken = await run(
        "clients", "create", "--id", "CXFervidex", "--name", "Other", "--permission", "submit_score"
    )
    assert (taken.exit_code, "already" in taken.stderr) == (1, True)
    gone = await run("clients", "delete", "CXFervidex")
    assert gone.exit_code == 0
    async with asyncio.timeout(1):
        while (await registry.issuer.verify(key["token"])).status_code != 401:
            await asyncio.sleep(0.01)
    assert (await run("clients", "show", "CXFervidex")).exit_code == 1
    assert (await run("clients", "delete", "CXFervidex")).exit_code == 1


async def test_an_operator_has_the_webhook_keys_of_any_client(registry: Registry, run: Run) -> None:
    """Also of those that have no author: as JSON, rotated with an overlap; an unknown client is said to be one."""
    made = await run("clients", "create", "--name", "Operated", "--permission", "submit_score")
    client_id = json.loads(made.stdout)["clientID"]
    (first,) = json.loads((await run("clients", "webhook-keys", client_id)).stdout)["keys"]
    (signing,) = await live_keys(registry.resources, client_id)
    assert (first["secret"], first["publicKey"]) == (signing.secret, signing.public_key)
    rotated = await run("clients", "rotate-webhook-keys", client_id, "--overlap-seconds", "60")
    new, old = json.loads(rotated.stdout)["keys"]
    assert (new["version"], {**old, "endsOn": None}) == (2, first)
    again = json.loads((await run("clients", "rotate-webhook-keys", client_id)).stdout)
    assert [key["version"] for key in again["keys"]] == [3, 2]
    for command in ("webhook-keys", "rotate-webhook-keys"):
        unknown = await run("clients", command, "CXNothing")
        assert (unknown.exit_code, "no client" in unknown.stderr) == (1, True)
    await run("clients", "delete", client_id)
    assert (await run("clients", "webhook-keys", client_id)).exit_code == 1


async def test_an_operator_sees_and_mends_the_webhooks_of_any_client(registry: Registry, run: Run) -> None:
    """Those of a client that has no author are seen nowhere else; a disabled address is set again, and what is wrong refused."""
    made = await run("clients", "create", "--name", "Operated", "--permission", "submit_score")
    client_id = json.loads(made.stdout)["clientID"]
    before = json.loads((await run("clients", "webhooks", client_id)).stdout)
    assert before == {
        "address": None,
        "failingSince": None,
        "disabledOn": None,
        "disabledWhy": None,
        "waiting": 0,
        "deliveries": [],
    }
    address = "https://epicgames.example.com/hook"
    assert (await run("clients", "set-webhook", client_id, address)).exit_code == 0
    await registry.sql(
        "UPDATE auth.webhook_endpoints SET disabled_on = 1, disabled_why = 'gone' WHERE client_id = $1",
        client_id,
    )
    await registry.sql(
        "INSERT INTO auth.webhook_deliveries (webhook_id, client_id, type, key_id, body, happened_on, queued_on,"
        " status, ended_on, tries, last_status) VALUES ('msg_1', $1, 'key.revoked', 'k', '', 5, 5, 'failed', 6, 1, 410)",
        client_id,
    )
    seen = json.loads((await run("clients", "webhooks", client_id)).stdout)
    assert (seen["address"], seen["disabledWhy"]) == (address, "gone")
    (delivery,) = seen["deliveries"]
    assert (delivery["webhookID"], delivery["keyID"], delivery["lastStatus"]) == ("msg_1", "k", 410)
    assert (await run("clients", "set-webhook", client_id, address)).exit_code == 0
    assert json.loads((await run("clients", "webhooks", client_id)).stdout)["disabledOn"] is None
    for wrong in ((), (address, "--clear"), ("http://epicgames.example.com",), ("https://192.0.0.192/",)):
        assert (await run("clients", "set-webhook", client_id, *wrong)).exit_code == 2
    assert (await run("clients", "set-webhook", client_id, "--clear")).exit_code == 0
    assert json.loads((await run("clients", "show", client_id)).stdout)["webhookUri"] is None
    for command in (("webhooks", "CXNothing"), ("set-webhook", "CXNothing", address)):
        unknown = await run("clients", *command)
        assert (unknown.exit_code, "no client" in unknown.stderr) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--id", "a b"],
        ["--id", "ab"],
        ["--redirect-uri", "javascript:alert(1)"],
        ["--permission", "nope"],
        ["--api-key-format", "x"],
        ["--webhook-uri", "http://127.0.0.1"],
        ["--webhook-uri", "https://192.0.0.192/"],
    ],
)
async def test_wrong_fields_are_wrong_usage(run: Run, arguments: list[str]) -> None:
    """Exit code 2 and the reason on stderr."""
    made = await run("clients", "create", "--name", "Epic", "--permission", "submit_score", *arguments)
    assert (made.exit_code, made.stdout) == (2, "")
    assert made.stderr
