"""`/api/v1/users/me`."""

from __future__ import annotations

from typing import Any

import pytest

from shared.contracts.keys import ChangeKey
from tests.integration.key_issuer.conftest import Desk, mint, until


async def ask(desk: Desk, headers: dict[str, str], method: str = "GET") -> tuple[int, Any, Any]:
    """Status, headers and body."""
    async with desk.http.request(method, f"{desk.url}/api/v1/users/me", headers=headers) as answer:
        return answer.status, answer.headers, await answer.json(content_type=None)


async def test_a_live_key_tells_id_and_name_of_its_person(desk: Desk) -> None:
    """In the seed's envelope, and kept by nobody."""
    key = await desk.make(user_id=42, username="Alice")
    status, headers, answer = await ask(desk, {"Authorization": f"Bearer {key.token}"})
    assert answer.pop("description")
    assert (status, answer) == (200, {"success": True, "body": {"id": 42, "username": "Alice"}})
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.spec("RFC 6750", "3.1", "A key that is not live is 401 where the person is asked for too")
async def test_everything_else_is_refused_as_by_status(desk: Desk) -> None:
    """No key, no live key, a resource server's key, a session's cookie: one answer, as `status` gives it."""
    paused, service = await desk.make(), await desk.make_service_key()
    await desk.bus.request(ChangeKey(key_id=paused.key_id, user_id=2, status="paused"))
    unknown = {"Authorization": f"Bearer {mint().token}"}
    async with desk.http.get(f"{desk.url}/api/v1/status", headers=unknown) as answer:
        expected = answer.status, answer.headers["WWW-Authenticate"], await answer.json()
    for sent in (
        unknown,
        {},
        {"Authorization": ""},
        {"Authorization": f"Bearer {paused.token}"},
        {"Authorization": f"Bearer {service.token}"},
        {"Authorization": "Basic YTpi"},
        {"Cookie": "latchkey_session=" + "a" * 43},
    ):
        status, headers, body = await ask(desk, sent)
        assert (status, headers["WWW-Authenticate"], body) == expected
    assert (expected[0], expected[2]["success"]) == (401, False)


async def test_asking_counts_as_use(desk: Desk) -> None:
    """The owner sees it in the list of keys."""
    key = await desk.make()
    await ask(desk, {"Authorization": f"Bearer {key.token}"})

    async def is_written() -> bool:
        (row,) = await desk.sql("SELECT last_used_on FROM api_keys WHERE key_id = $1", key.key_id)
        return row["last_used_on"] is not None

    await until(is_written)


async def test_other_methods_are_refused(desk: Desk) -> None:
    """405 names what is understood."""
    status, headers, _ = await ask(desk, {}, "POST")
    assert (status, headers["Allow"]) == (405, "GET,HEAD,OPTIONS")
