"""The author's console and sessions as the pages use them, over the bus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from shared.bus import Bus
from shared.contracts.clients import (
    AuthenticateClient,
    ClientFields,
    ClientList,
    CreateClient,
    DeleteClient,
    ListOwnClients,
    ReadOwnClient,
    ResetClientSecret,
    UpdateClient,
)
from shared.contracts.sessions import EndSession, ReadSession, SessionUser
from shared.contracts.webhooks import (
    ReadWebhooks,
    ResendWebhook,
    RotateWebhookKeys,
    SendTestWebhook,
    Webhooks,
)
from shared.secret_tokens import digest_of
from tests.harness.buses import started
from tests.harness.site import CALLBACK, Person
from tests.integration.auth_api.conftest import Registry, RegistryStarter

FIELDS = ClientFields(
    name="Epic Games", redirect_uris=(CALLBACK,), requested_permissions=("customise_score",)
)
NOBODY = "0" * 64


def pages_of(registry: Registry) -> AbstractAsyncContextManager[Bus]:
    """The bus as consent_ui has it."""
    return started(Bus(registry.stores.redis_url, source="consent_ui", clock=registry.resources.clock))


@pytest.fixture
async def pages(registry: Registry) -> AsyncIterator[Bus]:
    """The bus as consent_ui has it."""
    async with pages_of(registry) as bus:
        yield bus


@pytest.fixture
async def issuer(registry: Registry) -> AsyncIterator[Bus]:
    """The bus as key_issuer has it."""
    async with started(
        Bus(registry.stores.redis_url, source="key_issuer", clock=registry.resources.clock)
    ) as bus:
        yield bus


def session_of(person: Person) -> str:
    """The digest of the person's cookie."""
    return digest_of(person.http.cookies["latchkey_session"])


async def user_of(pages: Bus, person: Person) -> SessionUser | None:
    """The person as every reply names them."""
    return (await pages.request(ReadSession(session=session_of(person)))).user


async def test_who_is_signed_in_and_signing_out(registry: Registry, pages: Bus) -> None:
    """`session.read` tells the person, `session.end` ends the session at once; both take any digest."""
    person = await registry.site.sign_up()
    session = session_of(person)
    state = await pages.request(ReadSession(session=session))
    assert state.user is not None
    assert (state.user.user_id, state.user.username) == (person.user_id, person.username)
    await pages.request(EndSession(session=session))
    assert (await pages.request(ReadSession(session=session))).user is None
    assert (await person.http.get("/api/v1/session")).status_code == 401
    await pages.request(EndSession(session=NOBODY))


async def test_a_client_from_registration_to_deletion(registry: Registry, pages: Bus, issuer: Bus) -> None:
    """Each command answers with the new state, and the REST view agrees."""
    person = await registry.site.sign_up()
    session = session_of(person)
    made = await pages.request(CreateClient(session=session, fields=FIELDS, secret_digest=digest_of("s")))
    assert made.outcome == "done"
    assert made.client is not None
    assert (made.client.author, made.client.author_name) == (person.user_id, person.username)
    client_id = made.client.client_id
    assert (await pages.request(ReadOwnClient(session=session, client_id=client_id))).client == made.client
    changed = FIELDS.model_copy(update={"name": "Changed", "description": "About"})
    answer = await pages.request(UpdateClient(session=session, client_id=client_id, fields=changed))
    assert answer.client == made.client.model_copy(update={"name": "Changed", "description": "About"})
    reset = ResetClientSecret(
        session=session, client_id=client_id, secret_digest=digest_of("t"), overlap_seconds=60
    )
    done = await pages.request(reset)
    assert done.client is not None
    assert done.client.old_secret_until is not None
    assert done.client.model_copy(update={"old_secret_until": None}) == answer.client
    for secret, right in (("s", True), ("t", True), ("u", False)):
        proof = AuthenticateClient(client_id=client_id, secret_digest=digest_of(secret), peer="192.0.2.1")
        assert (await issuer.request(proof)).authenticated is right
    assert (await pages.request(ListOwnClients(session=session))).clients == (done.client,)
    gone = await pages.request(DeleteClient(session=session, client_id=client_id))
    assert gone.outcome == "done"
    assert gone.client == done.client
    assert (await pages.request(ReadOwnClient(session=session, client_id=client_id))).outcome == "not_found"
    assert (await pages.request(ListOwnClients(session=session))).clients == ()


async def test_faults_are_told_by_field(registry: Registry, pages: Bus) -> None:
    """`invalid` with every wrong field; nothing is registered."""
    session = session_of(await registry.site.sign_up())
    fields = ClientFields(name="x", redirect_uris=("ftp://x",), requested_permissions=())
    answer = await pages.request(CreateClient(session=session, fields=fields, secret_digest=digest_of("s")))
    assert answer.outcome == "invalid"
    assert [error.field for error in answer.errors] == ["name", "redirectUris.0", "requestedPermissions"]
    secretless = await pages.request(CreateClient(session=session, fields=FIELDS, secret_digest=None))
    assert [error.field for error in secretless.errors] == ["clientSecret"]
    empty = FIELDS.model_copy(update={"homepage": ""})
    answer = await pages.request(CreateClient(session=session, fields=empty, secret_digest=digest_of("s")))
    assert [error.field for error in answer.errors] == ["homepage"]
    assert (await pages.request(ListOwnClients(session=session))).clients == ()


async def test_ac_52_other_people_and_the_signed_out_see_nothing(registry: Registry, pages: Bus) -> None:
    """Another's client is `not_found` like an unknown one; an unknown session has no user, and nothing is done."""
    owner, other = await registry.site.sign_up(), await registry.site.sign_up()
    client = await owner.create_client()
    for session, user_id in ((session_of(other), other.user_id), (NOBODY, None)):
        commands = (
            ReadOwnClient(session=session, client_id=client.client_id),
            UpdateClient(session=session, client_id=client.client_id, fields=FIELDS),
            ResetClientSecret(session=session, client_id=client.client_id, secret_digest=digest_of("t")),
            DeleteClient(session=session, client_id=client.client_id),
        )
        for command in commands:
            answer = await pages.request(command)
            assert (answer.outcome, answer.client) == ("not_found", None)
            assert (answer.user and answer.user.user_id) == user_id
    created = await pages.request(CreateClient(session=NOBODY, fields=FIELDS, secret_digest=digest_of("s")))
    assert (created.user, created.client) == (None, None)
    assert await pages.request(ListOwnClients(session=NOBODY)) == ClientList()
    assert [own["name"] for own in (await owner.http.get("/api/v1/clients")).json()] == ["Epic Games"]


async def test_a_registration_delivered_twice_is_one_client(registry: Registry, pages: Bus) -> None:
    """The client's id follows from the message's, so a redelivery finds what it made before."""
    session = session_of(await registry.site.sign_up())
    command = CreateClient(session=session, fields=FIELDS, secret_digest=digest_of("s"))
    prepared = pages.prepare(command)
    for _ in range(2):
        await pages.redis.execute("XADD", prepared.stream, "*", *prepared.fields)
    first = await prepared.reply()
    marker = await pages.request(ListOwnClients(session=session))
    assert first.outcome == "done"
    assert marker.clients == (first.client,)


async def test_a_reset_delivered_twice_keeps_the_overlap(registry: Registry, pages: Bus, issuer: Bus) -> None:
    """The second delivery does not make the new secret the old one."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    command = ResetClientSecret(
        session=session_of(person),
        client_id=client.client_id,
        secret_digest=digest_of("t"),
        overlap_seconds=60,
    )
    for _ in range(2):
        assert (await pages.request(command)).outcome == "done"
    proof = AuthenticateClient(
        client_id=client.client_id, secret_digest=digest_of(client.secret or ""), peer="192.0.2.1"
    )
    assert (await issuer.request(proof)).authenticated


async def test_no_secret_authenticates_a_public_or_unknown_client(registry: Registry, issuer: Bus) -> None:
    """Whatever digest comes, also that of nothing."""
    person = await registry.site.sign_up()
    public = await person.create_client(public=True)
    for client_id in (public.client_id, "lkc_0000000000000000", "", "\x00"):
        for secret in ("", "x"):
            proof = AuthenticateClient(client_id=client_id, secret_digest=digest_of(secret), peer="192.0.2.1")
            assert not (await issuer.request(proof)).authenticated


async def test_what_others_try_at_a_webhook_is_not_found_and_does_not_count(
    start_registry: RegistryStarter,
) -> None:
    """Every command of a stranger's session; afterwards the author has all of their tests."""
    async with start_registry() as registry, pages_of(registry) as pages:
        author, thief = await registry.site.sign_up(), await registry.site.sign_up()
        client_id = (await author.create_client(webhookUri="https://hooks.example.invalid/")).client_id
        stolen: dict[str, Any] = {"session": session_of(thief), "client_id": client_id}
        assert await pages.request(ReadWebhooks(**stolen)) == Webhooks(user=await user_of(pages, thief))
        rotated = await pages.request(RotateWebhookKeys(**stolen, version=1, overlap_seconds=0))
        assert rotated.outcome == "not_found"
        for _ in range(25):
            tested = await pages.request(SendTestWebhook(**stolen))
            resent = await pages.request(ResendWebhook(**stolen, webhook_id="msg_00000000"))
            assert (tested.outcome, resent.outcome) == ("not_found", "not_found")
        own: dict[str, Any] = {"session": session_of(author), "client_id": client_id}
        assert (await pages.request(SendTestWebhook(**own))).outcome == "done"
        webhooks = await pages.request(ReadWebhooks(**own))
        assert [key.version for key in webhooks.keys] == [1]
        assert [delivery.type for delivery in webhooks.deliveries] == ["webhook.test"]
