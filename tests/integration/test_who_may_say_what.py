"""What a service may say on the bus (bus.md): each one's Redis user does all that the service needs, and no more."""

from __future__ import annotations

import ast
import asyncio
import importlib
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from services.auth_api import consumer as auth_api_consumer
from services.auth_api.handlers.application import RESOURCES
from services.key_issuer import consumer as key_issuer_consumer
from services.key_issuer.resources import RESOURCES as ISSUER_RESOURCES
from shared.api_key import USER_KEY, mint_key
from shared.bus import Bus, Consumer, Delivery, Janitor, PreparedRequest, handler
from shared.bus.names import QUEUES_OF, StreamKeys, commands, dead, delayed, event_dead, event_stream, replies
from shared.contracts.access import ChangeOwnKey, ReadAccess, RevokeAccess, RevokeOwnKey, RotateOwnKey
from shared.contracts.authorization import PrepareAuthorization
from shared.contracts.clients import AuthenticateClient
from shared.contracts.events import KeysChanged
from shared.contracts.keys import IssueKey, ListKeys, RevokeGrant, RevokeKey
from shared.contracts.messages import Command, Envelope
from shared.contracts.sessions import EndOwnSessions, ListSessions, PersonalCommand, ReadSession
from shared.secret_tokens import digest_of
from tests.harness.buses import started
from tests.harness.processes import REPOSITORY
from tests.harness.rights import SERVICES, Deployment, deployed
from tests.harness.site import Person
from tests.harness.stores import Servers, fresh_stores
from tests.integration.every_flow import play_every_flow

STRANGER: Final = "0" * 64
"""The digest of a session that nobody has."""
SENDER: Final = {
    "key_issuer": "auth_api",
    "key_issuer:first": "auth_api",
    "auth_api": "key_issuer",
    "auth_api:consent_ui": "consent_ui",
}
"""Command stream → the one service that may append to it."""


@pytest.fixture(scope="module")
async def deployment(servers: Servers) -> AsyncIterator[Deployment]:
    """The services, each with the rights that a deployment gives it."""
    async with fresh_stores(servers) as stores, deployed(stores, REGISTRATION="on") as deployment:
        yield deployment


@pytest.fixture
async def victim(deployment: Deployment) -> Person:
    """Somebody whose session no attacker has seen."""
    return await deployment.site.sign_up()


@asynccontextmanager
async def attacking(deployment: Deployment, service: str) -> AsyncIterator[tuple[Redis, Bus]]:
    """Whoever has a service's rights: bare commands, and a bus."""
    url = deployment.redis_urls[service]
    async with Redis.from_url(url) as redis, started(Bus(url, source=service)) as bus:
        yield redis, bus


async def put(redis: Redis, prepared: PreparedRequest[Any], stream: str, **changed: str) -> None:
    """A command as its sender would send it, but for what is changed, and to any stream."""
    fields: dict[Any, Any] = dict(zip(prepared.fields[::2], prepared.fields[1::2], strict=True))
    fields.update(changed)
    await redis.xadd(stream, fields)


def forged_key(deployment: Deployment, victim: Person) -> IssueKey:
    """An order for a key of the victim that the attacker would hold."""
    minted = mint_key(deployment.settings.key_prefix, USER_KEY, deployment.settings.public_url)
    return IssueKey(
        key_id=minted.key_id,
        digest=minted.digest,
        code_digest=None,
        user_id=victim.user_id,
        username=victim.username,
        client_id=None,
        identifier="forged",
        permissions=("submit_score",),
        consented_on=deployment.settings.code_ttl_seconds * 10**12,
        origin="personal",
    )


async def test_its_rights_are_enough_for_each_service(deployment: Deployment) -> None:
    """Every flow, and what each service does by itself: Redis has refused nothing."""
    await play_every_flow(deployment.site)
    for service in QUEUES_OF:
        async with started(Bus(deployment.redis_urls[service], source=service)) as bus:
            await Janitor(bus, service).clean()
    assert await deployment.denied() == []
    async with Redis.from_url(deployment.redis_urls["consent_ui"]) as attacker:
        with pytest.raises(NoPermissionError):
            await attacker.get("lk:planted")
    denied = await deployment.denied()
    assert [line for line in denied if "get" in line] != [], denied


def writable(service: str) -> list[str]:
    """The command streams that a service may append to."""
    return [commands(queue) for queue, sender in SENDER.items() if sender == service]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_appends_to_its_own_streams_alone(
    deployment: Deployment, victim: Person, service: str
) -> None:
    """Neither a command in another's name, nor an event, nor an answer, nor anything that waits for another try."""
    body = forged_key(deployment, victim).to_wire()
    own = QUEUES_OF.get(service, ())
    others = [queue for queue in SENDER if queue not in own]
    streams = [commands(queue) for queue in others] + [dead(queue) for queue in others]
    streams += [replies(f"{other}.x") for other in SERVICES if other != service and service == "consent_ui"]
    if service != "key_issuer":
        streams += [event_stream("revocations"), event_stream("events.keys")]
    if service == "consent_ui":
        streams.append(event_stream("events.auth"))
    fields: dict[Any, Any] = {"t": IssueKey.type, "src": "auth_api", "d": body}
    async with Redis.from_url(deployment.redis_urls[service]) as attacker:
        for stream in set(streams) - set(writable(service)):
            with pytest.raises(NoPermissionError):
                await attacker.xadd(stream, fields)
        for queue in others:
            with pytest.raises(NoPermissionError):
                await attacker.zadd(delayed(queue), {body: 0})


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_reads_and_empties_nothing_of_others(deployment: Deployment, service: str) -> None:
    """Not what others ask or are answered, in which there are digests of sessions; and it drops none of it."""
    own = QUEUES_OF.get(service, ())
    streams = [commands(queue) for queue in SENDER if queue not in own]
    streams += [replies(f"{other}.x") for other in SERVICES if other != service]
    async with Redis.from_url(deployment.redis_urls[service]) as attacker:
        for stream in streams:
            for command in (
                ("XRANGE", stream, "-", "+"),
                ("XREAD", "STREAMS", stream, "0"),
                ("XGROUP", "CREATE", stream, "mine", "0", "MKSTREAM"),
                ("XTRIM", stream, "MAXLEN", "0"),
                ("DEL", stream),
            ):
                with pytest.raises(NoPermissionError):
                    await attacker.execute_command(*command)  # type: ignore[no-untyped-call]


async def test_auth_api_reads_what_key_issuer_says_of_keys_and_no_more(deployment: Deployment) -> None:
    """As a group does, with what fails, what is left by another member and dead letters; it changes and drops nothing."""
    stream, before = event_stream(KeysChanged.stream), await deployment.denied()
    heard: list[str] = []

    async def hear(event: KeysChanged, delivery: Delivery) -> None:
        if delivery.attempt == 1:
            raise ZeroDivisionError
        heard.append(event.reason)

    async with Redis.from_url(deployment.redis_urls["auth_api"]) as reader:
        await reader.xgroup_create(stream, "some", "$", mkstream=True)
    async with Redis.from_url(deployment.redis_urls["key_issuer"]) as writer:
        for message_type in (KeysChanged.type, "key.unknown"):
            event = KeysChanged(change="revoked", reason="person", on=1, keys=())
            envelope = Envelope("id", message_type, "key_issuer", 1, event.to_wire())
            fields: dict[Any, Any] = dict(zip(*[iter(envelope.to_fields())] * 2, strict=True))
            await writer.xadd(stream, fields)
    async with attacking(deployment, "auth_api") as (redis, bus):
        await redis.xreadgroup("some", "gone", {stream: ">"}, count=1)
        keys = StreamKeys(stream, "some", event_dead(KeysChanged.stream), None)
        consumer = Consumer(bus, "some", [handler(KeysChanged, hear)], keys=keys, claim_idle_ms=50)
        running = asyncio.create_task(consumer.run())
        async with asyncio.timeout(20):
            while heard != ["person"] or not await redis.xlen(keys.dead):
                await asyncio.sleep(0.02)
        consumer.stop()
        await running
        await Janitor(bus, "auth_api").clean()
        assert await deployment.denied() == before
        for command in (
            ("XADD", stream, "*", "t", KeysChanged.type),
            ("XTRIM", stream, "MAXLEN", "0"),
            ("XDEL", stream, "1-1"),
            ("XGROUP", "DESTROY", stream, "auth_api"),
            ("XGROUP", "SETID", stream, "auth_api", "$"),
            ("DEL", stream),
            ("EVAL", "return redis.call('XADD', KEYS[1], '*', 't', 'x')", "1", stream),
            ("XTRIM", keys.dead, "MAXLEN", "0"),
        ):
            with pytest.raises(ResponseError, match="permissions"):
                await redis.execute_command(*command)  # type: ignore[no-untyped-call]
    async with Redis.from_url(deployment.redis_urls["consent_ui"]) as attacker:
        for command in (
            ("XRANGE", stream, "-", "+"),
            ("XGROUP", "CREATE", stream, "mine", "0"),
            ("XLEN", stream),
        ):
            with pytest.raises(NoPermissionError):
                await attacker.execute_command(*command)  # type: ignore[no-untyped-call]
    async with Redis.from_url(deployment.stores.redis_url) as server:
        await server.xgroup_destroy(stream, "some")
        await server.delete(keys.dead)


@pytest.mark.parametrize("service", ["consent_ui", "key_issuer"])
async def test_what_auth_api_keeps_is_auth_apis(deployment: Deployment, service: str) -> None:
    """No session, pending request, code, limit or activity log is read or made by anybody else."""
    names = (
        *(
            "lk:session:x",
            "lk:pending:x",
            "lk:pushed:x",
            "lk:user-code:x",
            "lk:attempts:nobody:x",
            "lk:familiar:x",
        ),
        *("lk:{key_issuer:0}:code:x", "lk:{key_issuer:0}:void:user:1", "lk:{key_issuer:0}:throttle:x"),
    )
    async with Redis.from_url(deployment.redis_urls[service]) as attacker:
        for name in names:
            with pytest.raises(NoPermissionError):
                await attacker.set(name, "1")
            with pytest.raises(NoPermissionError):
                await attacker.get(name)
            with pytest.raises(NoPermissionError):
                await attacker.eval("return redis.call('SET', KEYS[1], '1')", 1, name)


async def test_consent_ui_cannot_ask_what_is_for_key_issuer_to_ask(deployment: Deployment) -> None:
    """Whether a secret is a client's: refused on its own stream whatever it says of itself; on the other it has no right."""
    author = await deployment.site.sign_up()
    client = await author.create_client()
    question = AuthenticateClient(
        client_id=client.client_id, secret_digest=digest_of(client.secret or ""), peer="p"
    )
    async with attacking(deployment, "consent_ui") as (redis, bus):
        for source in ("consent_ui", "key_issuer", "auth_api"):
            prepared = bus.prepare(question)
            await put(redis, prepared, commands("auth_api:consent_ui"), src=source)
            with pytest.raises(Exception, match="unknown type"):
                await prepared.reply()
        with pytest.raises(NoPermissionError):
            await redis.xadd(commands(AuthenticateClient.queue), {"t": AuthenticateClient.type})
    async with attacking(deployment, "key_issuer") as (_, bus):
        assert (await bus.request(question)).authenticated


async def test_key_issuer_cannot_speak_for_a_person(deployment: Deployment, victim: Person) -> None:
    """Not in its own name; in consent_ui's, as long as the previous release is heard, it would need a session."""
    key = await victim.create_key("Mine", ["submit_score"])
    session = digest_of(victim.http.cookies["latchkey_session"])
    own = commands(AuthenticateClient.queue)
    async with attacking(deployment, "key_issuer") as (redis, bus):
        by_session: list[PersonalCommand[Any]] = [
            ReadSession(session=session),
            RevokeOwnKey(session=session, key_id=key["keyID"]),
        ]
        for command in by_session:
            prepared = bus.prepare(command)
            await put(redis, prepared, own)
            with pytest.raises(Exception, match="not for key_issuer to say"):
                await prepared.reply()
        of_nobody = bus.prepare(ReadAccess(session=STRANGER))
        await put(redis, of_nobody, own, src="consent_ui")
        assert await of_nobody.reply() == ReadAccess.replies()
    assert (await deployment.site.verify(key["token"])).status_code == 200


async def test_auth_api_believes_no_bare_user_id(deployment: Deployment, victim: Person) -> None:
    """What speaks of a person without their session is dead on arrival; with a wrong one it does nothing."""
    key = await victim.create_key("Mine", ["submit_score"])
    order = forged_key(deployment, victim)
    by_id: list[Command[Any]] = [
        order,
        ListKeys(user_id=victim.user_id),
        RevokeKey(key_id=key["keyID"], user_id=victim.user_id, reason="forged"),
        RevokeGrant(user_id=victim.user_id, client_id=None, before=2**53, reason="forged"),
    ]
    async with attacking(deployment, "consent_ui") as (redis, bus):
        for command in by_id:
            prepared = bus.prepare(command)
            await put(redis, prepared, commands("auth_api:consent_ui"), src="key_issuer")
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
    assert (await deployment.site.verify(key["token"])).status_code == 200
    assert (await victim.http.get("/api/v1/session")).status_code == 200
    rows = await deployment.sql("SELECT key_id FROM keys.api_keys WHERE user_id = $1", victim.user_id)
    assert [row["key_id"] for row in rows] == [key["keyID"]]


@pytest.mark.parametrize(("service", "queue"), [(sender, queue) for queue, sender in SENDER.items()])
async def test_an_answer_goes_nowhere_but_to_its_sender(
    deployment: Deployment, service: str, queue: str
) -> None:
    """With the rights of whoever answers it could trim and fill the commands of a third: such a request is put aside."""
    async with (
        Redis.from_url(deployment.stores.redis_url) as server,
        attacking(deployment, service) as (redis, bus),
    ):
        others = [replies(f"{other}.x") for other in SERVICES if other != service]
        targets = [event_stream("events.auth"), "lk:session-list", *others]
        if queue == AuthenticateClient.queue:
            targets.remove(replies("consent_ui.x"))  # where the previous release is answered
        for target in targets:
            await server.xadd(target, {"t": "first"})
            before = await server.xinfo_stream(target)
            letters = await server.xlen(dead(queue))
            await put(redis, bus.prepare(ReadSession(session=STRANGER)), commands(queue), rt=target)
            async with asyncio.timeout(10):
                while await server.xlen(dead(queue)) == letters:
                    await asyncio.sleep(0.01)
            after = await server.xinfo_stream(target)
            assert (before["length"], before["last-generated-id"]) == (
                after["length"],
                after["last-generated-id"],
            )


def test_no_command_to_auth_api_names_a_person() -> None:
    """Who is meant follows from a session, a request that was shown to one, or a client's secret."""
    taken: list[type[Command[Any]]] = [
        *(command for command, _ in auth_api_consumer.USE_CASES),
        *(command for command, _ in auth_api_consumer.PERSONAL_USE_CASES),
        *(PrepareAuthorization, AuthenticateClient),
    ]
    naming = {"user_id", "user", "username", "author", "author_id"}
    assert [command.type for command in taken if naming & set(command.model_fields)] == []


def test_each_command_stream_has_one_sender() -> None:
    """Whoever adds a command or a stream says who sends it: the code of one service makes the commands of each."""
    senders: defaultdict[str, set[str]] = defaultdict(set)
    for service in SERVICES:
        for command in _commands_made_by(service):
            senders[command.queue].add(service)
    assert {queue: {sender} for queue, sender in SENDER.items()} == senders
    assert set(SENDER) == {queue for queues in QUEUES_OF.values() for queue in queues}


async def test_each_handler_of_a_command_knows_who_may_send_it(deployment: Deployment) -> None:
    """On the stream of each sender; consent_ui of the previous release is heard on key_issuer's too."""
    issuer = deployment.applications["key_issuer"][ISSUER_RESOURCES]
    made: list[Consumer] = [
        *auth_api_consumer.make_consumers(deployment.applications["auth_api"][RESOURCES]),
        *key_issuer_consumer.make_consumers(issuer.bus, issuer.issuer),
    ]
    expected = {commands(queue): {sender} for queue, sender in SENDER.items()}
    expected[commands(AuthenticateClient.queue)].add("consent_ui")
    assert {each.keys.stream: each.senders for each in made} == expected


def _commands_made_by(service: str) -> list[type[Command[Any]]]:
    """The commands that a service's code imports, without those that are for itself."""
    found = []
    for path in (REPOSITORY / "services" / service).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("shared.contracts"):
                module = importlib.import_module(node.module or "")
                found += [getattr(module, alias.name) for alias in node.names]
    own = QUEUES_OF.get(service, ())
    return [
        each
        for each in found
        if isinstance(each, type)
        and issubclass(each, Command)
        and hasattr(each, "queue")
        and each.queue not in own
    ]
