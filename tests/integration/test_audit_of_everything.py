"""Whatever changes something leaves a line in an audit: a new command or route without one is noticed here."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import click
import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from deploy.cli.__main__ import latchkey
from services.auth_api import routes
from services.auth_api.consumer import PERSONAL_USE_CASES, USE_CASES
from shared.bus import Bus
from tests.conftest import StackStarter
from tests.harness.buses import started
from tests.harness.site import PASSWORD, Person
from tests.harness.stack import Stack
from tests.harness.tls import make_authority
from tests.harness.webhooks import answering, receiving

READING: Final = frozenset(
    {
        "users list", "users show", "clients list", "clients show", "clients webhook-keys", "clients webhooks", "keys list", "keys show", "bus status",
        "bus dead-letters list", "bus dead-letters show", "env", "doctor", "test", "check", "demo",
    }
)  # fmt: skip
"""Commands that change nothing of a site."""
OF_THE_MACHINE: Final = frozenset({"up", "backends", "serve", "migrate", "backup", "restore", "init"})
"""Commands of whoever has the machine and its files, below whatever an audit could say: they run, fill or copy it."""
AUDITED: Final = {
    # what the operator does: the lines that it leaves, as `action subject` of auth_api or `event reason` of key_issuer
    "users create": "user.created user:",
    "users set-password": "user.reset-link-made user:",
    "users disable": "user.disabled user:",
    "users enable": "user.enabled user:",
    "users end": "user.disabled user:",
    "clients create": "client.created client:",
    "clients rotate-webhook-keys": "client.webhook-keys-rotated client:",
    "clients set-webhook": "client.changed client:",
    "clients delete": "client.deleted client:",
    "keys revoke": "revoked revoked_by_operator",
    "service-key create": "issued service",
    "bus dead-letters replay": "dead-letter.replayed message:",
    "bus dead-letters drop": "dead-letter.dropped message:",
}


def commands(group: click.Group, *above: str) -> Iterator[str]:
    """Every command that does something, by its whole name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)
        else:
            yield " ".join((*above, name))


async def lines_of(stack: Stack) -> list[str]:
    """The lines of both audits: who, from where, what, to whom."""
    auth = await stack.sql(
        "SELECT concat_ws(' ', actor, peer, action, subject) AS line FROM auth.audit ORDER BY id"
    )
    keys = await stack.sql("SELECT concat_ws(' ', event, reason) AS line FROM keys.audit")
    return [row["line"] for row in (*auth, *keys)]


def test_every_command_is_known() -> None:
    """One that is new either leaves a line or says here why not."""
    assert set(commands(latchkey)) == READING | OF_THE_MACHINE | AUDITED.keys()


class Operator:
    """Runs commands on the stack's stores and sees what they leave in the audits."""

    def __init__(self, stack: Stack) -> None:
        """Nothing was run yet."""
        self._stack = stack
        self._environment = {**stack.stores.environment(), "LATCHKEY_PUBLIC_URL": stack.url}
        self.done: list[str] = []

    async def run(self, command: str, *arguments: str, stdin: str = "") -> Result:
        """The command's result; it has left exactly the line that the table says."""
        before = await lines_of(self._stack)
        runner = CliRunner(env=self._environment)
        words: Sequence[str] = [*command.split(), *arguments]
        result = await asyncio.to_thread(runner.invoke, latchkey, words, stdin)
        assert result.exit_code == 0, result.output
        new = await lines_of(self._stack)
        for line in before:
            new.remove(line)
        wanted = AUDITED[command]
        found = [line for line in new if wanted in line]
        assert len(found) == 1, f"{command} left {new}"
        if "." in wanted.split()[0]:
            assert found[0].startswith("operator cli "), found
        self.done.append(command)
        return result


async def test_every_act_of_an_operator_leaves_a_line(stack: Stack) -> None:
    """By the operator, from the command line, about whom; each command once."""
    operator = Operator(stack)
    await operator.run("users create", "Operated", stdin=f"{PASSWORD}\n")
    await operator.run("users set-password", "Operated")
    client = await operator.run("clients create", "--name", "Theirs", "--permission", "submit_score")
    await operator.run("service-key create", "--name", "api", "--permission", "introspect")
    person = await stack.site.sign_up()
    key = await person.create_key("Key", ["submit_score"])
    await operator.run("keys revoke", key["keyID"])
    await operator.run("clients rotate-webhook-keys", json.loads(client.stdout)["clientID"])
    await operator.run(
        "clients set-webhook", json.loads(client.stdout)["clientID"], "https://example.com/hook"
    )
    await operator.run("clients delete", json.loads(client.stdout)["clientID"])
    await operator.run("users disable", "Operated")
    await operator.run("users enable", "Operated")
    await stack.sql(
        "INSERT INTO auth.external_identities (issuer, subject, user_id, linked_on)"
        " SELECT 'site', 'ext-1', user_id, 1 FROM auth.users WHERE username = 'Operated'"
    )
    await operator.run("users end", "ext-1")
    async with started(Bus(stack.stores.redis_url, source="test")) as bus:
        for number in range(2):
            await bus.redis.execute(
                "XADD", "lk:{auth_api:0}:dead", "*", "reason", "test", "by", "test", "on", "1", "t", f"odd.{number}"
            )  # fmt: skip
    listed = await asyncio.to_thread(
        CliRunner(env=stack.stores.environment()).invoke, latchkey, ["bus", "dead-letters", "list", "--json"]
    )
    first, second = (letter["id"] for letter in json.loads(listed.stdout) if letter["reason"] == "test")
    await operator.run("bus dead-letters drop", first)
    await operator.run("bus dead-letters replay", second)
    assert set(operator.done) == AUDITED.keys()


SIGNED_OUT: Final = (
    "no person or operator acts: a program proves itself, and the key that it is given has its own lines"
)
ELSEWHERE: Final = "what a login elsewhere says: its line is looked for where that login is tried"
ROUTES: Final = {
    # route of auth_api that is no GET: a line that it leaves, or why it leaves none
    "POST /api/v1/users": "user.created",
    "POST /api/v1/session": "session.started",
    "DELETE /api/v1/session": "session.ended",
    "POST /api/v1/account/password": "user.password-changed",
    "POST /api/v1/account/password-reset": "user.password-reset",
    "DELETE /api/v1/account/sessions": "sessions.ended",
    "DELETE /api/v1/account/sessions/{sessionID}": "session.ended",
    "POST /api/v1/clients": "client.created",
    "PATCH /api/v1/clients/{clientID}": "client.changed",
    "DELETE /api/v1/clients/{clientID}": "client.deleted",
    "POST /api/v1/clients/{clientID}/reset-secret": "client.secret-reset",
    "POST /api/v1/clients/{clientID}/webhook-keys/rotate": "client.webhook-keys-rotated",
    "POST /api/v1/oauth/create-code": "grant.given",
    "DELETE /api/v1/apps/{clientID}": "grant.ended",
    "POST /api/v1/keys": "issued",
    "PATCH /api/v1/keys/{keyID}": "renamed",
    "DELETE /api/v1/keys/{keyID}": "revoked",
    "POST /api/v1/keys/{keyID}/rotate": "rotated",
    "POST /api/v1/oauth/token": SIGNED_OUT,
    "POST /api/v1/oauth/revoke": SIGNED_OUT,
    "POST /api/v1/oauth/par": SIGNED_OUT,
    "POST /api/v1/oauth/device_authorization": SIGNED_OUT,
    "POST /api/v1/oauth/register": "client.created",
    "PUT /api/v1/login-requests/{challenge}": ELSEWHERE,
    "POST /login/oidc/backchannel-logout": ELSEWHERE,
    "POST /login/oidc/link": ELSEWHERE,
    "POST /login/site/link": ELSEWHERE,
    "DELETE /api/v1/external-users/{externalID}": ELSEWHERE,
    "POST /api/v1/external-users/end": ELSEWHERE,
}
BY_PAGES: Final = {
    # command of a page that changes something: a line that it leaves, by the same use case as the route's
    "session.end": "session.ended",
    "session.end-own": "sessions.ended",
    "authorization.decide": "grant.given",
    "access.revoke": "grant.ended",
    "own-key.change": "renamed",
    "own-key.revoke": "revoked",
    "own-key.rotate": "rotated",
    "client.create": "client.created",
    "client.update": "client.changed",
    "client.reset-secret": "client.secret-reset",
    "webhook.rotate-keys": "client.webhook-keys-rotated",
    "client.delete": "client.deleted",
}
ASKING: Final = frozenset(
    {
        "authorization.prepare", "password-reset.read", "session.read", "session.list", "access.read", "client.list",
        "client.read", "client.name", "client.attempts", "webhook.read", "webhook.resend", "webhook.test",
    }
)  # fmt: skip
"""Commands that change nothing of an account, a client or a key."""


def test_every_route_that_changes_something_is_known() -> None:
    """One that is new says here which line it leaves."""
    application = web.Application()
    routes.add_routes(application)
    changing = {
        f"{route.method} {route.resource.canonical}"
        for route in application.router.routes()
        if route.resource is not None and route.method not in ("GET", "HEAD", "OPTIONS")
    }
    assert changing == ROUTES.keys()


def test_every_command_of_a_page_is_known() -> None:
    """One that is new says here which line it leaves."""
    taken = {command.type for command, _ in (*USE_CASES, *PERSONAL_USE_CASES)} | {"client.create"}
    assert taken == BY_PAGES.keys() | ASKING
    assert set(BY_PAGES.values()) <= set(ROUTES.values())


async def test_every_route_leaves_its_line(start_stack: StackStarter) -> None:
    """What was done is in an audit when it is answered; each route is called once."""
    async with start_stack({"REGISTRATION": "on"}) as stack:
        caller = Caller(stack)
        person = caller.person = await stack.site.visitor()
        body = {"username": "Person-of-the-story", "password": PASSWORD}
        await caller.call("POST /api/v1/users", body)
        await caller.call("POST /api/v1/session", body)
        await caller.call(
            "POST /api/v1/account/password", {"current": PASSWORD, "new": "another horse battery"}
        )
        other = await stack.site.visitor()
        await other.sign_in("Person-of-the-story", "another horse battery")
        (_, there) = (await person.http.get("/api/v1/account/sessions")).json()
        await caller.call("DELETE /api/v1/account/sessions/{sessionID}", path=there["sessionID"])
        await caller.call("DELETE /api/v1/account/sessions")
        await _clients_and_grants(caller)
        await _keys(caller)
        await caller.call(
            "POST /api/v1/oauth/register",
            {"client_name": "Program", "redirect_uris": ["https://p.example/cb"]},
        )
        await caller.call("DELETE /api/v1/session")
        token = await _reset_token(stack, "Person-of-the-story")
        await caller.call(
            "POST /api/v1/account/password-reset", {"token": token, "new": "a third horse battery"}
        )
    untried = (SIGNED_OUT, ELSEWHERE)
    assert set(caller.done) == {route for route, line in ROUTES.items() if line not in untried}


async def test_an_address_that_is_disabled_by_itself_leaves_a_line(
    start_stack: StackStarter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By ``webhooks``, which nobody asked: an endpoint that says 410 hears no more."""
    authority = make_authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    async with receiving(authority) as receiver, start_stack({"PRIVATE_TARGETS": "on"}) as stack:
        receiver.answer = answering(410)
        person = await stack.site.sign_up()
        client = await person.create_client(webhookUri=receiver.url)
        key = await person.give_key(client)
        await person.http.delete(f"/api/v1/keys/{key['keyID']}")
        wanted = f"webhooks client.webhook-disabled-gone client:{client.client_id}"
        async with asyncio.timeout(10):
            while wanted not in await lines_of(stack):
                await asyncio.sleep(0.05)


class Caller:
    """Calls routes as one person and sees which lines they leave."""

    def __init__(self, stack: Stack) -> None:
        """Nothing was called yet."""
        self._stack = stack
        self.person: Person
        self.done: list[str] = []

    async def call(self, route: str, body: Mapping[str, Any] | None = None, *, path: str = "") -> Any:
        """The JSON answered, if any; the route has left its line, a new one or one more time in the same hour."""
        method, template = route.split()
        before = await self._count(ROUTES[route])
        address = re.sub(r"\{\w+\}", path, template)
        answer = await self.person.http.request(method, address, json=body)
        assert answer.is_success, f"{route}: {answer.status_code} {answer.text}"
        assert await self._count(ROUTES[route]) == before + 1, route
        self.done.append(route)
        return answer.json() if answer.content else None

    async def _count(self, line: str) -> int:
        (row,) = await self._stack.sql(
            """
            SELECT (SELECT coalesce(sum(times), 0) FROM auth.audit WHERE action = $1)
                + (SELECT count(*) FROM keys.audit WHERE event = $1) AS count
            """,
            line,
        )
        return int(row["count"])


async def _clients_and_grants(caller: Caller) -> None:
    fields = {
        "name": "App",
        "redirectUri": "https://app.example/cb",
        "requestedPermissions": ["submit_score"],
    }
    client = (await caller.call("POST /api/v1/clients", fields))["clientID"]
    await caller.call("PATCH /api/v1/clients/{clientID}", {"name": "Other"}, path=client)
    await caller.call("POST /api/v1/clients/{clientID}/reset-secret", {}, path=client)
    await caller.call("POST /api/v1/clients/{clientID}/webhook-keys/rotate", {}, path=client)
    await caller.call("POST /api/v1/oauth/create-code", {"clientID": client})
    await caller.call("DELETE /api/v1/apps/{clientID}", path=client)
    await caller.call("DELETE /api/v1/clients/{clientID}", path=client)


async def _keys(caller: Caller) -> None:
    key = await caller.call("POST /api/v1/keys", {"identifier": "Key", "permissions": ["submit_score"]})
    await caller.call("PATCH /api/v1/keys/{keyID}", {"identifier": "Other"}, path=key["keyID"])
    await caller.call("DELETE /api/v1/keys/{keyID}", path=key["keyID"])
    old = await caller.person.create_key("Old", ["submit_score"])
    await caller.call("POST /api/v1/keys/{keyID}/rotate", {"overlapSeconds": 60}, path=old["keyID"])


async def _reset_token(stack: Stack, username: str) -> str:
    runner = CliRunner(env={**stack.stores.environment(), "LATCHKEY_PUBLIC_URL": stack.url})
    made = await asyncio.to_thread(runner.invoke, latchkey, ["users", "set-password", username], "")
    return parse_qs(urlsplit(made.stdout.strip()).query)["token"][0]
