"""`latchkey keys` and `latchkey service-key`, as an operator runs them."""

from __future__ import annotations

import asyncio
import json
import time

from shared.api_key import parse_key
from tests.harness.command_line import run_latchkey
from tests.integration.key_issuer.conftest import Desk, until


async def run(desk: Desk, *arguments: str, code: int = 0) -> str:
    """The command's stdout; everything else goes to stderr."""
    environ = {**desk.stores.environment(), "LATCHKEY_PUBLIC_URL": "http://latchkey.test"}
    ended = await run_latchkey(*arguments, environ=environ)
    assert ended.code == code, ended.stderr
    assert (ended.stderr != b"") or code == 0
    return ended.stdout.decode()


async def test_keys_are_listed_shown_and_revoked(desk: Desk) -> None:
    """A revoked one is refused by the running service within a second."""
    key, other = await desk.make(username="Zoe"), await desk.make(username="kim", client_id="CY")
    assert await desk.check(key.token) == 200
    lines = (await run(desk, "keys", "list")).splitlines()
    assert [line.split()[0] for line in lines[:2]] == [other.key_id, key.key_id]
    listed = json.loads(await run(desk, "keys", "list", "--user", "zoe", "--json"))
    assert [document["keyID"] for document in listed] == [key.key_id]
    assert json.loads(await run(desk, "keys", "list", "--client", "CY", "--json"))[0]["username"] == "kim"
    await run(desk, "keys", "revoke", key.key_id)
    await run(desk, "keys", "revoke", key.key_id)

    async def is_refused() -> bool:
        return await desk.check(key.token) == 401

    await until(is_refused, 2.0)
    shown = json.loads(await run(desk, "keys", "show", key.key_id))
    assert (shown["status"], shown["endReason"]) == ("revoked", "revoked_by_operator")
    assert [line["event"] for line in shown["history"]] == ["issued", "revoked"]
    assert key.key_id not in await run(desk, "keys", "list")
    assert key.key_id in await run(desk, "keys", "list", "--all")
    assert key.token not in json.dumps(shown)


async def live(desk: Desk, **column: object) -> int:
    """How many keys have not ended in which the column holds the value."""
    ((name, value),) = column.items()
    rows = await desk.sql(f"SELECT FROM api_keys WHERE {name} = $1 AND status <> 'revoked'", value)
    return len(rows)


async def test_everything_of_a_person_is_revoked_at_once(desk: Desk) -> None:
    """However much there is, and however late a consent is dated; nothing of anybody else."""
    clients = [f"CX{number}" for number in range(27)]
    keys = [
        key
        for client_id in clients
        for key in await asyncio.gather(
            *(desk.make(user_id=900, username="Many", client_id=client_id) for _ in range(10))
        )
    ]
    late = time.time_ns() // 1_000_000 + 60_000
    keys.append(await desk.make(user_id=900, username="Many", client_id="CXLate", consented_on=late))
    other = await desk.make(user_id=901, username="Other", client_id=clients[0])
    assert await live(desk, user_id=900) == 271
    assert await desk.check(keys[-1].token) == 200
    await run(desk, "keys", "revoke", "--user", "many")
    assert await live(desk, user_id=900) == 0
    await run(desk, "keys", "revoke", "--user", "many")

    async def is_refused() -> bool:
        return {await desk.check(key.token) for key in keys} == {401}

    await until(is_refused, 5.0)
    assert await desk.check(other.token) == 200
    shown = json.loads(await run(desk, "keys", "show", keys[0].key_id))
    assert shown["endReason"] == "revoked_by_operator"


async def test_everything_of_a_client_is_revoked_at_once(desk: Desk) -> None:
    """More than one transaction ends; with a person too, only what they gave to that client."""
    people = range(2000, 2520)
    for start in range(0, len(people), 104):
        await asyncio.gather(
            *(
                desk.make(user_id=user_id, username=f"p{user_id}", client_id="CXBulk")
                for user_id in people[start : start + 104]
            )
        )
    elsewhere = await desk.make(user_id=2000, username="p2000", client_id="CXElse")
    await run(desk, "keys", "revoke", "--client", "CXBulk", "--user", "p2000")
    assert await live(desk, client_id="CXBulk") == len(people) - 1
    await run(desk, "keys", "revoke", "--client", "CXBulk")
    assert await live(desk, client_id="CXBulk") == 0
    assert await desk.check(elsewhere.token) == 200
    for wrong in ((), ("x" * 16, "--user", "p2000")):
        await run(desk, "keys", "revoke", *wrong, code=2)
    await run(desk, "keys", "revoke", "--user", "nobody-at-all", code=1)
    await run(desk, "keys", "revoke", "--user", "p2001", "--client", "CXElse", code=1)


async def test_an_unknown_key_is_told_so(desk: Desk) -> None:
    """Exit code 1."""
    for verb in ("show", "revoke"):
        assert await run(desk, "keys", verb, "nosuchkey", code=1) == ""


async def test_a_service_key_is_printed_once_and_works(desk: Desk) -> None:
    """Alone on stdout; revoked like any other."""
    token = (
        await run(desk, "service-key", "create", "--name", "scores", "--permission", "introspect")
    ).strip()
    parsed = parse_key(token)
    assert parsed is not None
    assert parsed.kind == "s"
    key = await desk.make()

    async def introspect() -> int:
        async with desk.http.post(
            f"{desk.url}/api/v1/oauth/introspect",
            data={"token": key.token},
            headers={"Authorization": f"Bearer {token}"},
        ) as answer:
            return answer.status

    assert await introspect() == 200
    listed = json.loads(await run(desk, "keys", "list", "--service", "--json"))
    assert [document["service"] for document in listed if document["keyID"] == parsed.key_id] == ["scores"]
    assert token not in json.dumps(listed)
    shown = json.loads(await run(desk, "keys", "show", parsed.key_id))
    assert [line["event"] for line in shown["history"]] == ["issued"]
    await run(desk, "keys", "revoke", parsed.key_id)

    async def is_refused() -> bool:
        return await introspect() == 401

    await until(is_refused, 2.0)


async def test_wrong_usage_is_told_so(desk: Desk) -> None:
    """Exit code 2."""
    await run(desk, "service-key", "create", "--name", "x", code=2)
    await run(desk, "service-key", "create", "--name", "x", "--permission", "everything", code=2)
    await run(desk, "service-key", "create", "--name", " ", "--permission", "introspect", code=2)
