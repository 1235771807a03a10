"""`latchkey keys` and `latchkey service-key`, as an operator runs them."""

from __future__ import annotations

import json

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
