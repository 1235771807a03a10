"""What programs are to hear of their keys: one event in the outbox for every cause that ends or narrows a client's key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg
import orjson
import pytest

from services.key_issuer.changes import change_key, rotate_key
from services.key_issuer.db.repository import SCHEMA
from services.key_issuer.issuer import Issuer
from services.key_issuer.operators import revoke_all_keys
from services.key_issuer.revocation import (
    abandon_keys,
    end_leaked,
    revoke_code,
    revoke_grant,
    revoke_key,
    revoke_people,
    revoke_token,
)
from shared.api_key import MintedKey
from shared.contracts.events import MOST_CHANGED, KeysChanged
from shared.contracts.keys import (
    AbandonKey,
    ChangeKey,
    IssueKey,
    RevokeCode,
    RevokeGrant,
    RevokeKey,
    RevokePeople,
    RevokeToken,
    RotateKey,
)
from shared.contracts.messages import LARGEST_BODY
from tests.fixtures.releases import Release
from tests.integration.key_issuer.conftest import Bench, command, mint

LATER: Final = 2**62
CLIENT: Final = "CXFervidex"

Case = Callable[[Issuer, IssueKey, MintedKey], Awaitable[object]]


def _of_grant(reason: str, user_id: int | None = 2, client_id: str | None = CLIENT) -> Case:
    def revoke(issuer: Issuer, _order: IssueKey, _key: MintedKey) -> Awaitable[object]:
        return revoke_grant(
            issuer, RevokeGrant(user_id=user_id, client_id=client_id, before=LATER, reason=reason)
        )

    return revoke


def _by_id(reason: str) -> Case:
    return lambda issuer, order, _key: revoke_key(
        issuer, RevokeKey(key_id=order.key_id, user_id=None, reason=reason)
    )


def _rotated(issuer: Issuer, order: IssueKey, _key: MintedKey) -> Awaitable[object]:
    new = mint()
    return rotate_key(
        issuer,
        RotateKey(
            key_id=order.key_id,
            user_id=order.user_id,
            overlap_seconds=0,
            new_key_id=new.key_id,
            new_digest=new.digest,
        ),
    )


CASES: Final[dict[str, tuple[str, Case]]] = {
    "its person revokes it": ("person", _by_id("revoked by its owner")),
    "its person disconnects the app": ("app_disconnected", _of_grant("app_disconnected")),
    "its person revokes everything": ("app_disconnected", _of_grant("app_disconnected", client_id=None)),
    "its client gives it back": (
        "client",
        lambda issuer, order, key: revoke_token(
            issuer, RevokeToken(key_id=order.key_id, digest=key.digest, client_id=CLIENT)
        ),
    ),
    "the operator revokes it": ("operator", _by_id("revoked_by_operator")),
    "the operator revokes all of a person and client": (
        "operator",
        lambda issuer, order, _key: revoke_all_keys(
            issuer, "revoked_by_operator", username=order.username, client_id=CLIENT
        ),
    ),
    "its code is presented again": (
        "code_replayed",
        lambda issuer, order, _key: revoke_code(
            issuer, RevokeCode(code_digest=order.code_digest or "", client_id=CLIENT, user_id=order.user_id)
        ),
    ),
    "somebody reports it": ("leak_reported", lambda issuer, _order, key: end_leaked(issuer, [key.token])),
    "its person rotates it without an overlap": ("rotated", _rotated),
    "its client is deleted": ("client_deleted", _of_grant("client_deleted", user_id=None)),
    "its person is disabled": ("user_disabled", _of_grant("user_disabled", client_id=None)),
    "the site ends its person": (
        "user_ended",
        lambda issuer, _order, _key: revoke_people(
            issuer, RevokePeople(user_ids=(2,), before=LATER, reason="user_ended")
        ),
    ),
    "its person's account is deleted": ("account_deleted", _of_grant("account_deleted", client_id=None)),
    "something new": ("policy", _by_id("a reason of the next release")),
}
"""Cause → the public reason, and how it comes about."""


async def events(bench: Bench, change: str | None = None) -> list[KeysChanged]:
    """The events in the outbox, in order, as their consumer reads them; each with nothing that its contract does not know."""
    rows = await bench.sql("SELECT body FROM outbox WHERE stream = 'events.keys' ORDER BY id")
    for row in rows:
        KeysChanged.model_validate_json(bytes(row["body"]))
    found = [KeysChanged.from_wire(bytes(row["body"])) for row in rows]
    return [event for event in found if change in (None, event.change)]


def plain(event: KeysChanged) -> tuple[str, str, list[str]]:
    """What changed, why, and of which keys."""
    return event.change, event.reason, [key.key_id for key in event.keys]


@pytest.mark.parametrize("cause", CASES)
async def test_each_cause_that_ends_a_key_is_reported_once_by_its_public_reason(
    bench: Bench, cause: str
) -> None:
    """Also where the command is delivered again."""
    reason, end = CASES[cause]
    key = mint()
    order = command(key, external_issuer="site", external_user='Zo"ë \\ 2')
    await bench.issue(order)
    assert await events(bench) == []
    before = bench.clock.now()
    await end(bench.issuer, order, key)
    await end(bench.issuer, order, key)
    (event,) = await events(bench)
    assert before <= event.on <= bench.clock.now()
    assert event.model_dump(exclude={"on"}) == {
        "change": "revoked",
        "reason": reason,
        "keys": ({"key_id": key.key_id, "user_id": 2, "external_user": 'Zo"ë \\ 2', "client_id": CLIENT},),
    }
    assert (
        await bench.sql(
            "SELECT FROM outbox WHERE type = $1 AND stream <> $2", KeysChanged.type, KeysChanged.stream
        )
        == []
    )


async def test_a_person_without_an_id_at_the_site_has_none_in_the_event(bench: Bench) -> None:
    """An account that is only ours."""
    key = await bench.make()
    await _by_id("revoked by its owner")(bench.issuer, command(key), key)
    (event,) = await events(bench)
    assert event.keys[0].external_user is None


async def test_the_oldest_key_that_makes_room_is_reported(bench: Bench) -> None:
    """By both ways in which keys are made: of which nothing is known, and step by step."""
    keys = [await bench.make() for _ in range(11)]
    assert [plain(event) for event in await events(bench)] == [("revoked", "evicted", [keys[0].key_id])]
    order = command(mint(), abandoned=(mint().key_id,))
    await bench.issue(order)
    assert [plain(event) for event in await events(bench)][1:] == [("revoked", "evicted", [keys[1].key_id])]


async def test_keys_that_are_dead_from_the_start_are_reported(bench: Bench) -> None:
    """They might have been handed out: to whoever was first with the code, and as one of too many at once."""
    order = command(mint())
    replay = RevokeCode(code_digest=order.code_digest or "", client_id=CLIENT, user_id=order.user_id)
    await revoke_code(bench.issuer, replay)
    assert await events(bench) == []
    await bench.issue(order)
    await bench.issue(order)
    assert [plain(event) for event in await events(bench)] == [("revoked", "code_replayed", [order.key_id])]
    orders = [command(mint(), user_id=3) for _ in range(12)]
    await bench.issue(*orders)
    assert [plain(event) for event in await events(bench)][1:] == [
        ("revoked", "evicted", [order.key_id for order in orders[:2]])
    ]


async def test_nothing_is_reported_of_keys_that_reached_no_program(bench: Bench) -> None:
    """Given up after they were made, before, and by the next redeem of their code; or ended so by an earlier release."""
    order, later = command(mint()), command(mint())
    await bench.issue(order)
    given_up = [AbandonKey(key_id=each.key_id, code_digest=each.code_digest or "") for each in (order, later)]
    await abandon_keys(bench.issuer, given_up)
    await bench.issue(later)
    assert await bench.status(order.key_id) == "revoked:abandoned"
    first = command(mint())
    await bench.issue(first)
    await bench.issue(command(mint(), code_digest=first.code_digest, abandoned=(first.key_id,)))
    assert await bench.status(first.key_id) == "revoked:abandoned"
    for reason in ("superseded", "undelivered"):
        key = await bench.make()
        await bench.sql("SELECT end_keys($1, 5, $2)", [key.key_id], reason)
    assert await events(bench) == []


async def test_nothing_is_reported_of_a_persons_own_keys(bench: Bench) -> None:
    """They are of no program: neither their end nor a narrowing, also beside the keys of a client."""
    own = [command(mint(), client_id=None, code_digest=None) for _ in range(4)]
    key = await bench.make()
    await bench.issue(*own)
    await change_key(bench.issuer, ChangeKey(key_id=own[0].key_id, user_id=2, status="paused", expires_on=1))
    await _rotated(bench.issuer, own[1], mint())
    fresh = mint()
    await rotate_key(
        bench.issuer,
        RotateKey(
            key_id=own[2].key_id,
            user_id=2,
            overlap_seconds=60,
            new_key_id=fresh.key_id,
            new_digest=fresh.digest,
        ),
    )
    assert await events(bench) == []
    await _of_grant("user_disabled", client_id=None)(bench.issuer, own[3], key)
    assert [plain(event) for event in await events(bench)] == [("revoked", "user_disabled", [key.key_id])]


async def test_a_key_that_ends_in_many_ways_at_once_is_reported_once(bench: Bench) -> None:
    """Whoever is first says why."""
    key = mint()
    order = command(key)
    await bench.issue(order)
    await asyncio.gather(*(end(bench.issuer, order, key) for _, end in CASES.values()))
    ended = [event for event in await events(bench) if key.key_id in plain(event)[2]]
    assert len(ended) == 1
    assert ended[0].reason in {reason for reason, _ in CASES.values()}


@pytest.mark.parametrize("number", [MOST_CHANGED, MOST_CHANGED + 1, 500, 501])
async def test_many_keys_are_reported_fifty_at_a_time(bench: Bench, number: int) -> None:
    """Each of them once; a consumer has never more in its hands."""
    orders = [command(mint(), client_id=f"C{place % 60}") for place in range(number)]
    await bench.issue(*orders)
    await _of_grant("user_disabled", client_id=None)(bench.issuer, orders[0], mint())
    found = await events(bench)
    assert sorted(key.key_id for event in found for key in event.keys) == sorted(
        order.key_id for order in orders
    )
    assert {order.key_id: order.client_id for order in orders} == {
        key.key_id: key.client_id for event in found for key in event.keys
    }
    assert max(len(event.keys) for event in found) == MOST_CHANGED
    assert len(found) == sum(-(-part // MOST_CHANGED) for part in _parts(number))


def _parts(number: int, most: int = 500) -> list[int]:
    """How many keys each transaction of a withdrawal ends."""
    return [most] * (number // most) + [number % most] * bool(number % most)


@pytest.mark.parametrize("letter", ["\U0001f511", '"', "\x01", "\u00f6"])
async def test_the_longest_ids_fit_into_what_the_bus_carries(bench: Bench, letter: str) -> None:
    """The relay could not send what is longer, and would send nothing else any more."""
    most: dict[str, Any] = {
        "user_id": 2**63 - 1,
        "external_issuer": letter * 500,
        "external_user": letter * 500,
        "client_id": '"' * 100,
    }
    orders = [command(mint(), **most) for _ in range(100)]
    await bench.issue(*orders)
    await bench.sql("DELETE FROM outbox")
    # More than a grant holds: as earlier ones have expired.
    await bench.sql("UPDATE api_keys SET status = 'active', ended_on = NULL, end_reason = NULL")
    await bench.sql("DELETE FROM audit WHERE event = 'revoked'")
    revoke = RevokeGrant(user_id=2**63 - 1, client_id=None, before=LATER, reason="user_disabled")
    assert (await revoke_grant(bench.issuer, revoke)).found == 100
    rows = await bench.sql("SELECT body FROM outbox")
    assert all(len(row["body"]) <= LARGEST_BODY for row in rows)
    found = await events(bench)
    assert sorted(key.key_id for event in found for key in event.keys) == sorted(
        order.key_id for order in orders
    )
    assert {key.external_user for event in found for key in event.keys} == {letter * 500}


async def test_a_change_that_is_undone_is_not_reported(bench: Bench) -> None:
    """The event is in the transaction of the change."""
    key = await bench.make()
    connection = await asyncpg.connect(bench.url, server_settings={"search_path": SCHEMA})
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.fetch("SELECT end_keys($1, 5, 'evicted')", [key.key_id])
        await transaction.rollback()
    finally:
        await connection.close()
    assert await bench.status(key.key_id) == "active"
    assert await events(bench) == []


async def test_what_a_process_of_the_previous_release_ends_is_reported_too(bench: Bench) -> None:
    """It runs beside this one during an upgrade, and calls the same functions."""
    queries = Release("0.2.0").queries("keys")
    keys = [await bench.make() for _ in range(10)]
    await bench.sql(queries["end_keys"], [keys[0].key_id], 5, "revoked by its owner")
    await bench.make()
    order = command(mint())
    row = {
        name: value
        for name, value in order.model_dump().items()
        if name not in ("abandoned", "shown", "label")
    }
    row["permissions"] = " ".join(order.permissions)
    await bench.sql(queries["issue_unknown_keys"], orjson.dumps([row]).decode(), 1, 6, 10)
    assert [(plain(event), event.on) for event in await events(bench)] == [
        (("revoked", "person", [keys[0].key_id]), 5),
        (("revoked", "evicted", [keys[1].key_id]), 6),
    ]


NARROWINGS: Final[tuple[tuple[dict[str, Any], list[str]], ...]] = (
    ({"permissions": ("delete_score",)}, ["permissions"]),
    ({"expires_on": LATER}, ["expiry"]),
    ({"expires_on": 1}, ["expiry"]),
    ({"status": "paused"}, ["paused"]),
    (
        {"status": "paused", "permissions": ("delete_score",), "expires_on": LATER, "identifier": "x"},
        ["paused", "permissions", "expiry"],
    ),
    ({"identifier": "My phone"}, []),
    ({"status": "active"}, []),
    ({"permissions": ("delete_score", "customise_score")}, []),
    ({"permissions": ()}, []),
)
"""What a person changes → the reasons that are reported."""


@pytest.mark.parametrize(("change", "reasons"), NARROWINGS)
async def test_each_narrowing_is_reported_once(
    bench: Bench, change: dict[str, Any], reasons: list[str]
) -> None:
    """One event for each thing that a change does, however often it is delivered."""
    key = await bench.make(external_issuer="site", external_user="ö")
    wanted = ChangeKey(key_id=key.key_id, user_id=2, **change)
    await change_key(bench.issuer, wanted)
    await change_key(bench.issuer, wanted)
    found = await events(bench)
    assert [plain(event) for event in found] == [("narrowed", reason, [key.key_id]) for reason in reasons]
    assert {key.external_user for event in found for key in event.keys} <= {"ö"}


async def test_resuming_is_not_reported(bench: Bench) -> None:
    """Only the pause is."""
    key = await bench.make()
    for status in ("paused", "active"):
        await change_key(bench.issuer, ChangeKey(key_id=key.key_id, user_id=2, status=status))
    assert [plain(event) for event in await events(bench)] == [("narrowed", "paused", [key.key_id])]


async def test_a_change_of_somebody_elses_key_is_not_reported(bench: Bench) -> None:
    """Nor one that is refused."""
    key = await bench.make(expires_on=LATER - 1)
    await change_key(bench.issuer, ChangeKey(key_id=key.key_id, user_id=3, status="paused"))
    await change_key(bench.issuer, ChangeKey(key_id=key.key_id, user_id=2, status="paused", expires_on=LATER))
    assert await events(bench) == []


@pytest.mark.parametrize("status", ["active", "paused"])
async def test_the_begin_of_an_overlap_is_reported_of_the_old_key_alone(bench: Bench, status: str) -> None:
    """It has moved its expiry, and that is one event."""
    key, new = await bench.make(), mint()
    if status == "paused":
        await change_key(bench.issuer, ChangeKey(key_id=key.key_id, user_id=2, status="paused"))
        await bench.sql("DELETE FROM outbox")
    rotate = RotateKey(
        key_id=key.key_id, user_id=2, overlap_seconds=60, new_key_id=new.key_id, new_digest=new.digest
    )
    await rotate_key(bench.issuer, rotate)
    await rotate_key(bench.issuer, rotate)
    assert [plain(event) for event in await events(bench)] == [("narrowed", "rotated", [key.key_id])]


async def test_a_body_is_json_without_anything_between(bench: Bench) -> None:
    """As every other message: it is read by what other programs are written in too."""
    key = await bench.make()
    await _by_id("revoked by its owner")(bench.issuer, command(key), key)
    (row,) = await bench.sql("SELECT body FROM outbox WHERE stream = 'events.keys'")
    assert set(orjson.loads(row["body"])) == set(KeysChanged.model_fields)
