"""What a service may say on the bus (bus.md): consent_ui's Redis user does all that pages need, and harms nobody."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from deploy.embedded.ports import free_port
from services.auth_api import consumer
from services.consent_ui.app import create_app
from shared.api_key import USER_KEY, mint_key
from shared.bus import Bus
from shared.bus.names import commands, dead
from shared.contracts.access import ChangeOwnKey, ReadAccess, RevokeAccess, RevokeOwnKey, RotateOwnKey
from shared.contracts.base import Command
from shared.contracts.keys import IssueKey, ListKeys, RevokeGrant, RevokeKey
from shared.contracts.sessions import EndOwnSessions, ListSessions, PersonalCommand
from shared.settings import load_settings
from shared.web.server import serving
from tests.harness.buses import started
from tests.harness.processes import REPOSITORY
from tests.harness.site import Person, Site
from tests.harness.stack import Stack
from tests.integration.consent_ui.visits import press

TEMPLATE: Final = REPOSITORY / "deploy" / "redis" / "users.acl.template"
STRANGER: Final = "0" * 64
"""The digest of a session that nobody has."""


@pytest.fixture
async def consent_ui_url(stack: Stack) -> AsyncIterator[str]:
    """The stack's Redis, for a user with the rights that a deployment gives to consent_ui."""
    name, password = f"consent_ui-{secrets.token_hex(4)}", secrets.token_hex(16)
    (rules,) = re.findall(r"^user consent_ui (.*)$", TEMPLATE.read_text(encoding="utf-8"), re.MULTILINE)
    digest = hashlib.sha256(password.encode()).hexdigest()
    url = urlsplit(stack.stores.redis_url)
    async with Redis.from_url(stack.stores.redis_url) as server:
        await server.execute_command(  # type: ignore[no-untyped-call]
            "ACL", "SETUSER", name, *rules.replace("@consent_ui@", digest).split()
        )
        try:
            yield urlunsplit(url._replace(netloc=f"{name}:{password}@{url.netloc.rpartition('@')[2]}"))
        finally:
            await server.execute_command("ACL", "DELUSER", name)  # type: ignore[no-untyped-call]


@pytest.fixture
async def victim(site: Site) -> Person:
    """Somebody whose session consent_ui has never seen."""
    return await site.sign_up()


def forged_key(stack: Stack, victim: Person) -> IssueKey:
    """An order for a key of the victim that the attacker would hold."""
    minted = mint_key(stack.settings.key_prefix, USER_KEY, stack.settings.public_url)
    return IssueKey(
        key_id=minted.key_id,
        digest=minted.digest,
        code_digest=None,
        user_id=victim.user_id,
        username=victim.username,
        client_id=None,
        identifier="forged",
        permissions=("submit_score",),
        consented_on=stack.settings.code_ttl_seconds * 10**12,
        origin="personal",
    )


async def test_its_rights_are_enough_for_the_pages(stack: Stack, site: Site, consent_ui_url: str) -> None:
    """A consent_ui with these rights shows what has access, and takes a key back."""
    person = await site.sign_up()
    key = await person.create_key("Mine", ["submit_score"])
    port = free_port()
    settings = load_settings(
        {
            **stack.stores.environment(),
            "LATCHKEY_PUBLIC_URL": stack.url,
            "LATCHKEY_REDIS_URL": consent_ui_url,
        }
    )
    async with (
        serving(create_app(settings), "127.0.0.1", port, drain_seconds=1),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=person.http.headers) as http,
    ):
        http.cookies = httpx.Cookies(dict(person.http.cookies))
        page = await http.get("/")
        assert f"/keys/{key['keyID']}" in page.text
        person.http = http
        question = await http.get(f"/keys/{key['keyID']}/revoke")
        assert (await press(person, question, "Revoke")).headers["Location"] == "/?done=revoked"
    assert (await site.verify(key["token"])).status_code == 401


async def test_it_can_say_nothing_to_the_issuer(stack: Stack, consent_ui_url: str, victim: Person) -> None:
    """Neither a command, nor an event, nor a code, nor anything that waits for another try."""
    order = forged_key(stack, victim)
    fields: dict[Any, Any] = {"t": IssueKey.type, "src": "auth_api", "d": order.to_wire()}
    async with Redis.from_url(consent_ui_url) as attacker:
        for stream in (
            commands(IssueKey.queue),
            commands(RevokeKey.queue),
            dead("key_issuer"),
            dead("auth_api"),
            "lk:{events.auth}",
            "lk:{revocations}",
            "lk:{replies.auth_api.x}",
        ):
            with pytest.raises(NoPermissionError):
                await attacker.xadd(stream, fields)
        for name in (
            "lk:{key_issuer:0}:delayed",
            "lk:{key_issuer:first:0}:delayed",
            "lk:{auth_api:0}:delayed",
        ):
            with pytest.raises(NoPermissionError):
                await attacker.zadd(name, {order.to_wire(): 0})
        for name in ("lk:{key_issuer:0}:code:x", "lk:session:x", "lk:pending:x"):
            with pytest.raises(NoPermissionError):
                await attacker.set(name, "1")


async def test_auth_api_believes_no_bare_user_id(stack: Stack, consent_ui_url: str, victim: Person) -> None:
    """What speaks of a person without their session is dead on arrival; with a wrong one it does nothing."""
    key = await victim.create_key("Mine", ["submit_score"])
    order, lane = forged_key(stack, victim), commands("auth_api")
    by_id: list[Command[Any]] = [
        order,
        ListKeys(user_id=victim.user_id),
        RevokeKey(key_id=key["keyID"], user_id=victim.user_id, reason="forged"),
        RevokeGrant(user_id=victim.user_id, client_id=None, before=2**53, reason="forged"),
    ]
    async with (
        Redis.from_url(consent_ui_url) as attacker,
        started(Bus(consent_ui_url, source="consent_ui")) as bus,
    ):
        for command in by_id:
            prepared = bus.prepare(command)
            fields: dict[Any, Any] = dict(zip(prepared.fields[::2], prepared.fields[1::2], strict=True))
            await attacker.xadd(lane, {**fields, "src": "key_issuer"})
            with pytest.raises(Exception, match="unknown type"):
                await prepared.reply()
        wrongs: list[PersonalCommand[Any]] = [
            ReadAccess(session=STRANGER),
            RevokeAccess(session=STRANGER),
            RevokeOwnKey(session=STRANGER, key_id=key["keyID"]),
            ListSessions(session=STRANGER),
            EndOwnSessions(session=STRANGER),
            ChangeOwnKey(session=STRANGER, key_id=key["keyID"], status="paused"),
            RotateOwnKey(
                session=STRANGER,
                key_id=key["keyID"],
                overlap_seconds=0,
                new_key_id=order.key_id,
                new_digest=order.digest,
            ),
        ]
        for wrong in wrongs:
            assert await bus.request(wrong) == wrong.replies()
    assert (await stack.site.verify(key["token"])).status_code == 200
    assert (await victim.http.get("/api/v1/session")).status_code == 200
    rows = await stack.sql("SELECT key_id FROM keys.api_keys WHERE user_id = $1", victim.user_id)
    assert [row["key_id"] for row in rows] == [key["keyID"]]


def test_no_command_to_auth_api_names_a_person() -> None:
    """Who is meant follows from a session, a request that was shown to one, or a client's secret."""
    taken = [command for command, _ in (*consumer.USE_CASES, *consumer.PERSONAL_USE_CASES)]
    naming = {"user_id", "user", "username", "author", "author_id"}
    assert [command.type for command in taken if naming & set(command.model_fields)] == []
